package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/machinetest"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

// TestLabLifetime has mappings that last for fractions of a second.
func TestLabLifetime(t *testing.T) {
	t.Parallel()
	n := newNet20(t)
	for name, c := range map[string]struct {
		box  natlab.NAT
		want time.Duration // 0: longer than is looked
		err  string
	}{
		"short":     {natlab.NAT{UDPLifetime: 900 * time.Millisecond}, 900 * time.Millisecond, ""},
		"symmetric": {natlab.NAT{Mapping: nat.AddressAndPortDependent, Ports: nat.Delta{Kind: nat.Random}, UDPLifetime: 600 * time.Millisecond}, 600 * time.Millisecond, ""},
		"long":      {natlab.NAT{}, 0, ""},
		"blocked":   {natlab.NAT{UDPBlocked: true}, 0, "no STUN server answered"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, err := json.Marshal(struct {
				Server      string
				First, Most time.Duration
			}{n.servers[0], 200 * time.Millisecond, 2 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			machinetest.Calmly(t, func() string {
				ctx, cancel := context.WithTimeout(t.Context(), labTime)
				defer cancel()
				cmd := n.client(t, c.box).Command(ctx, os.Args[0])
				cmd.Env = append(os.Environ(), playLifetime+"="+string(raw))
				var errs strings.Builder
				cmd.Stderr = &errs
				out, err := cmd.Output()
				if c.err != "" {
					if err == nil || !strings.Contains(errs.String(), c.err) {
						t.Errorf("%v, %q", err, errs.String())
					}
					return ""
				}
				var span Lifespan
				if err != nil || json.Unmarshal(out, &span) != nil {
					return fmt.Sprintf("%v, %q, %s", err, out, errs.String())
				}
				t.Logf("%v to %v", span.AtLeast, span.Below)
				// From the NAT's last look at the mapping to the silence's beginning,
				// and from its end to the knock: a round trip, and what the machine adds.
				const slack = 250 * time.Millisecond
				switch {
				case c.want == 0 && (span.Below != 0 || span.AtLeast != 2*time.Second):
					return fmt.Sprintf("%+v of a mapping that lives on", span)
				case c.want != 0 && (span.AtLeast > c.want || span.Below < c.want-slack || span.Below > c.want+slack || span.Below-span.AtLeast > c.want/2):
					return fmt.Sprintf("%+v, want %v", span, c.want)
				}
				return ""
			})
		})
	}
}

func TestLifetimeNobody(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Lifetime(ctx, LifetimeConfig{Server: listenSilently(t)}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if _, err := Lifetime(t.Context(), LifetimeConfig{Server: "nonsense"}); !errors.Is(err, ErrNoServer) {
		t.Errorf("%v", err)
	}
	old := rogue(t, func(b []byte, from netip.AddrPort) [][]byte { // which knows no RESPONSE-PORT
		if m, _ := parse(b); m.port != 0 {
			return [][]byte{refuse(m, 420, nil)}
		}
		return [][]byte{honest(b, from)}
	})
	if _, err := Lifetime(t.Context(), LifetimeConfig{Server: old}); err == nil || !strings.Contains(err.Error(), "refused with error 420") {
		t.Errorf("%v", err)
	}
}

func TestServerAnswersToAnotherPort(t *testing.T) {
	s := startServer(t, ServerConfig{OnePort: true})
	machinetest.Calmly(t, func() string {
		span, err := Lifetime(t.Context(), LifetimeConfig{Server: s.Addr().String(), First: 100 * time.Millisecond, Most: 200 * time.Millisecond})
		if err != nil || span != (Lifespan{AtLeast: 200 * time.Millisecond}) {
			return fmt.Sprintf("%v, %+v", err, span)
		}
		return ""
	})
	_, req := requestToPort(1)
	m, err := parse(req)
	if err != nil || m.port != 1 {
		t.Fatalf("%v, port %d", err, m.port)
	}
	if from, out := s.reply(s.spots[0], m, s.Addr(), true); from == nil || success(out) {
		t.Error("a stream is answered to another port")
	}
}
