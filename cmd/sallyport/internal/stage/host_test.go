package stage

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

func TestParseHost(t *testing.T) {
	const ms = time.Millisecond
	plusOne := natlab.NAT{Mapping: nat.AddressAndPortDependent, Ports: nat.Delta{Kind: nat.Independent, Value: 1}}
	cone := natlab.Typed(nat.FullCone)
	rst := natlab.Typed(nat.PortRestricted)
	rst.Refuse = natlab.RST
	for text, want := range map[string]Host{
		"a":                               {Name: "a", open: true, link: natlab.Link{Delay: 7 * ms}},
		"a:open,delay=1ms":                {Name: "a", nat: "open", open: true, link: natlab.Link{Delay: ms}},
		"b:symmetric+1":                   {Name: "b", nat: "symmetric+1", box: plusOne, link: natlab.Link{Delay: 7 * ms}},
		"c:@b":                            {Name: "c", nat: "@b", with: "b", link: natlab.Link{Delay: 7 * ms}},
		"d:kernel,loss=1%":                {Name: "d", nat: "kernel", box: natlab.NAT{Kernel: true}, link: natlab.Link{Delay: 7 * ms, Loss: 0.01}},
		"e:full-cone":                     {Name: "e", nat: "full-cone", box: cone, link: natlab.Link{Delay: 7 * ms}},
		"e:open,jitter=2ms":               {Name: "e", nat: "open", open: true, link: natlab.Link{Delay: 7 * ms, Jitter: 2 * ms}},
		"f:symmetric-3":                   {Name: "f", nat: "symmetric-3", box: natlab.NAT{Mapping: nat.AddressAndPortDependent, Ports: nat.Delta{Kind: nat.Independent, Value: -3}}, link: natlab.Link{Delay: 7 * ms}},
		"g:dependent+2":                   {Name: "g", nat: "dependent+2", box: natlab.NAT{Mapping: nat.AddressAndPortDependent, Ports: nat.Delta{Kind: nat.Dependent, Value: 2}}, link: natlab.Link{Delay: 7 * ms}},
		"h:full-cone,carrier=symmetric+1": {Name: "h", nat: "full-cone", box: cone, carrier: &plusOne, link: natlab.Link{Delay: 7 * ms}},
		"i:port-restricted,refuse=rst":    {Name: "i", nat: "port-restricted", box: rst, link: natlab.Link{Delay: 7 * ms}},
	} {
		got, err := ParseHost(text, 7*ms)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", ":open", "1a", "a b", "server", "a:magic", "a:symmetric+0", "a:symmetric+", "a:symmetric+x", "a:open+1",
		"a:open,delay=-1s", "a:open,delay=x", "a:open,loss=101%", "a:open,loss=NaN", "a:open,refuse=maybe", "a:open,carrier=symmetric",
		"a:full-cone,carrier=open", "a:full-cone,colour=red", "a:full-cone+1", strings.Repeat("a", 21),
	} {
		if h, err := ParseHost(text, 0); err == nil {
			t.Errorf("%q was taken as %+v", text, h)
		}
	}
	// Every word that the usage text names is taken.
	for _, word := range NATs {
		if _, _, err := parseNAT(word); err != nil {
			t.Error(err)
		}
	}
}

func FuzzParseHost(f *testing.F) {
	for _, s := range []string{"a", "a:symmetric+1,delay=3ms,jitter=1ms,loss=2%,refuse=icmp,carrier=kernel", "b:@a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHost(s, time.Millisecond)
		if err == nil && (!validName(h.Name) || h.link.Loss < 0 || h.link.Loss > 1 || h.link.Delay < 0 || h.link.Jitter < 0) {
			t.Errorf("%q was taken as %+v", s, h)
		}
	})
}
