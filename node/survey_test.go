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
	found, err := n.Probe(shortly(t))
	if err != nil || len(found) == 0 || found[0].Addr != before[0].Addr || found[0].Err != nil || found[0].Report.TCP.Answered == 0 {
		t.Fatalf("%+v, %v", found, err)
	}
	if after := n.Places(); after[0].Report.Took != found[0].Report.Took || !after[0].Report.Warm.IsValid() {
		t.Errorf("it is not what the node knows: %+v", after)
	}
	if err := stun.Close(); err != nil {
		t.Fatal(err)
	}
	found, err = n.Probe(shortly(t))
	if err != nil || found[0].Err == nil {
		t.Errorf("nobody answers, and yet: %+v, %v", found, err)
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
