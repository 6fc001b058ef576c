package node_test

import (
	"net/netip"
	"testing"

	"github.com/sallyport-net/sallyport/nat/probe"
)

// Probe finds out anew what is so now, whatever was known.
func TestProbe(t *testing.T) {
	stun, err := probe.NewServer(probe.ServerConfig{Primary: netip.MustParseAddrPort("127.0.0.1:0"), OnePort: true})
	if err != nil {
		t.Fatal(err)
	}
	defer stun.Close()
	cfg := local(t)
	cfg.STUN = []string{stun.Addr().String()}
	n := start(t, cfg)
	before := n.Places()
	if len(before) == 0 || before[0].Report.TCP.Answered == 0 || !before[0].Uplink {
		t.Fatalf("%+v", before)
	}
	errs, err := n.Probe(shortly(t))
	if after := n.Places(); err != nil || errs[before[0].Addr] != nil || after[0].Report.TCP.Answered == 0 || !after[0].Report.Warm.IsValid() {
		t.Errorf("%v, %v, %+v", errs, err, after)
	}
	if err := stun.Close(); err != nil {
		t.Fatal(err)
	}
	errs, err = n.Probe(shortly(t))
	if err != nil || errs[before[0].Addr] == nil {
		t.Errorf("nobody answers, and yet: %v, %v", errs, err)
	}
	if _, stun := n.Health(); stun == nil {
		t.Error("the node claims to be well")
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Probe(shortly(t)); err == nil {
		t.Error("a node that is closed probes")
	}
}
