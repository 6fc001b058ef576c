package probe

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// nowhere is a resolver that knows no name.
type nowhere struct{}

func (nowhere) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, errors.New("nowhere")
}

// table is a resolver that knows some names; the others take for ever.
type table map[string]string

func (r table) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	if a, ok := r[host]; ok {
		return []netip.Addr{netip.MustParseAddr(a)}, nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestResolveDoesNotWaitForTheSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r := table{"a": "127.0.0.1", "b": "127.0.0.2", "c": "127.0.0.1"}
		found, problems := resolve(t.Context(), r, "ip4", []string{"a:1", "slow:1", "b:1", "c:1"})
		if len(found) != 2 || found[0].name != "a:1" || found[1].name != "b:1" || len(problems) != 1 {
			t.Errorf("%v, %v", found, problems)
		}
		if d := time.Since(start); d > lookupTime/2 {
			t.Errorf("took %v", d)
		}
	})
}

func TestRunByName(t *testing.T) {
	s := startServer(t, ServerConfig{OnePort: true, Primary: netip.MustParseAddrPort("127.0.0.1:0")})
	name := netip.AddrPortFrom(s.Addr().Addr(), s.Addr().Port())
	r, err := Run(t.Context(), Config{
		Resolver: table{"here": name.Addr().String()}, TCPServers: []string{},
		Servers: []string{"here:" + portOf(name)}, Local: netip.IPv4Unspecified(),
	})
	if err != nil || r.UDP.Answered != 1 || r.Local != name.Addr() {
		t.Errorf("%v, %+v", err, r)
	}
}

func portOf(a netip.AddrPort) string { return a.String()[len(a.Addr().String())+1:] }
