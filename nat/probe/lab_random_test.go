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
	"github.com/sallyport-net/sallyport/nat/machinetest"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

// mostUnsure is how many of a hundred NATs may leave a probe unsure.
const mostUnsure = 3

// brief prints samples as local>external@server +ms.
func brief(ms []nat.Mapping) string {
	var b strings.Builder
	for _, m := range ms {
		fmt.Fprintf(&b, "%d>%v@%v +%.1f ", m.Local.Port(), m.External, m.Server, float64(m.Sent.Sub(ms[0].Sent))/1e6)
	}
	return b.String()
}

// TestLabRandomNATs draws NATs from the whole space. Of a hundred, three may
// leave the probe unsure, and none may make it sure of something wrong.
// SALLYPORT_TEST_NATS says how many, and SALLYPORT_TEST_SEED which.
func TestLabRandomNATs(t *testing.T) {
	if testing.Short() {
		t.Skip("a long one: left out with -short")
	}
	number := func(name string, n int) int {
		if s := os.Getenv(name); s != "" {
			var err error
			if n, err = strconv.Atoi(s); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		return n
	}
	count, seed := number("SALLYPORT_TEST_NATS", 15), uint64(number("SALLYPORT_TEST_SEED", 99))
	// Labs side by side: one is one big lock, and a probe mostly waits.
	const labs, each = 2, 2
	begun := time.Now()
	var mu sync.Mutex
	var unsure []string
	t.Run("nats", func(t *testing.T) {
		jobs := make(chan int)
		var wg sync.WaitGroup
		for range labs {
			n := newNet20(t)
			for range each {
				wg.Go(func() {
					for i := range jobs {
						c := drawCourse(rand.New(rand.NewPCG(uint64(i), seed)))
						name := fmt.Sprintf("%d %v", i, c)
						t.Run(name, func(t *testing.T) {
							if r := judge(t, n, c); !r.Sure() {
								mu.Lock()
								defer mu.Unlock()
								unsure = append(unsure, name)
							}
						})
					}
				})
			}
		}
		for i := range count {
			jobs <- i
		}
		close(jobs)
		wg.Wait()
	})
	t.Logf("%d NATs in %v, unsure of %d: %q", count, time.Since(begun).Round(time.Second), len(unsure), unsure)
	if len(unsure) > max(1, mostUnsure*count/100) {
		t.Errorf("unsure of %d out of %d", len(unsure), count)
	}
}

// judge probes one course and fails the test where the report is sure of what
// is wrong.
func judge(t *testing.T, n *net20, c course) (r nat.Report) {
	machinetest.Calmly(t, func() string {
		h := n.client(t, c...)
		out := n.probe(t, h, Config{})
		r = out.Reports[len(out.Reports)-1]
		facts := fmt.Sprintf("%v (%.2f), %v (%.2f), refusal %v, hairpin %v, depth %d, took %v\nudp %v, %v: %s\ntcp %v, %v: %s",
			r.Type, r.Confidence, r.Delta, r.TCP.Confidence, r.Refusal, r.Hairpin, r.Depth, r.Took.Round(time.Millisecond),
			r.UDP.Mapping, r.UDP.Filtering, brief(r.UDP.Samples), r.TCP.Mapping, r.TCP.Filtering, brief(r.TCP.Samples))
		wrongs := strings.Join(expect(c).wrongs(r), "\n")
		if !r.Sure() {
			t.Logf("unsure: %+v\n%s\n%s", []natlab.NAT(c), wrongs, facts)
		}
		if udp, tcp := n.packets(h.External()); udp > mostPackets || tcp > mostPackets {
			t.Errorf("%d packets over UDP, %d over TCP: want at most %d", udp, tcp, mostPackets)
		}
		switch {
		case r.Sure() && wrongs != "":
			return fmt.Sprintf("%+v\n%s\n%s", []natlab.NAT(c), wrongs, facts)
		case out.Took > longest+200*time.Millisecond:
			return fmt.Sprintf("it took %v", out.Took)
		}
		return ""
	})
	return r
}
