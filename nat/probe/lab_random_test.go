package probe

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

// brief prints samples as local>external@server +ms.
func brief(ms []nat.Mapping) string {
	var b strings.Builder
	for _, m := range ms {
		fmt.Fprintf(&b, "%d>%d@%v +%.1f ", m.Local.Port(), m.External.Port(), m.Server, float64(m.Sent.Sub(ms[0].Sent))/1e6)
	}
	return b.String()
}

// TestLabRandomNATs draws NATs, and a path with jitter and loss to go with
// them. Of a hundred, three may leave the probe unsure, and none may make it
// sure of something wrong.
func TestLabRandomNATs(t *testing.T) {
	count := 16
	if s := os.Getenv("SALLYPORT_TEST_NATS"); s != "" {
		var err error
		if count, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	n := newNet20(t)
	behaviors := []nat.Behavior{nat.EndpointIndependent, nat.AddressDependent, nat.AddressAndPortDependent}
	var mu sync.Mutex
	var unsure []string
	t.Run("nats", func(t *testing.T) {
		for i := range count {
			rng := rand.New(rand.NewPCG(uint64(i), 99))
			box := natlab.NAT{
				Mapping: behaviors[rng.IntN(3)], Filtering: behaviors[rng.IntN(3)],
				Ports:    nat.Delta{Kind: nat.Equal + nat.DeltaKind(rng.IntN(5))},
				Refuse:   natlab.Refusal(rng.IntN(4)),
				EndOnRST: rng.IntN(2) == 0, EndOnFIN: rng.IntN(2) == 0,
				Jitter: time.Duration(rng.IntN(2)) * 5 * time.Millisecond,
			}
			if k := box.Ports.Kind; k == nat.Independent || k == nat.Dependent {
				box.Ports.Value = 1 + rng.IntN(10)
				if rng.IntN(2) == 0 {
					box.Ports.Value *= -1
				}
				box.Foreign = float64(rng.IntN(2) * 10)
			}
			if k := box.Ports.Kind; k != nat.Equal && rng.IntN(3) == 0 {
				lo := 2000 + rng.IntN(30000)
				box.Range = [2]uint16{uint16(lo), uint16(lo + 1999 + rng.IntN(20000))}
			}
			name := fmt.Sprintf("%d %v, %v, %v", i, box.Mapping, box.Filtering, box.Ports)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				out := n.probe(t, n.client(t, box), Config{})
				r := out.Reports[len(out.Reports)-1]
				want := nat.Symmetric
				if box.Mapping == nat.EndpointIndependent {
					want = map[nat.Behavior]nat.Type{
						nat.EndpointIndependent: nat.FullCone, nat.AddressDependent: nat.Restricted,
						nat.AddressAndPortDependent: nat.PortRestricted,
					}[box.Filtering]
				}
				if !r.Sure() {
					mu.Lock()
					unsure = append(unsure, name)
					mu.Unlock()
					t.Logf("%v (%.2f), %v (%.2f), filter %v\ntcp %s", r.Type, r.Confidence, r.Delta, r.TCP.Confidence, r.UDP.Filtering, brief(r.TCP.Samples))
					return
				}
				if r.Type != want || r.Delta != box.Ports || r.TCP.Mapping != box.Mapping || r.UDP.Filtering != box.Filtering {
					t.Errorf("%+v: got %v, %v, %v, %v\nudp %s\ntcp %s", box, r.Type, r.Delta, r.TCP.Mapping, r.UDP.Filtering, brief(r.UDP.Samples), brief(r.TCP.Samples))
				}
			})
		}
	})
	if len(unsure) > max(1, 3*count/100) {
		t.Errorf("unsure of %d out of %d: %q", len(unsure), count, unsure)
	}
	t.Logf("unsure of %d out of %d: %q", len(unsure), count, unsure)
}
