package main

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/signaling"
)

func TestParseLabHost(t *testing.T) {
	const ms = time.Millisecond
	plusOne := natlab.NAT{Mapping: nat.AddressAndPortDependent, Ports: nat.Delta{Kind: nat.Independent, Value: 1}}
	cone := natlab.Typed(nat.FullCone)
	rst := natlab.Typed(nat.PortRestricted)
	rst.Refuse = natlab.RST
	for text, want := range map[string]labHost{
		"a":                               {name: "a", open: true, link: natlab.Link{Delay: 7 * ms}},
		"a:open,delay=1ms":                {name: "a", nat: "open", open: true, link: natlab.Link{Delay: ms}},
		"b:symmetric+1":                   {name: "b", nat: "symmetric+1", box: plusOne, link: natlab.Link{Delay: 7 * ms}},
		"c:@b":                            {name: "c", nat: "@b", with: "b", link: natlab.Link{Delay: 7 * ms}},
		"d:kernel,loss=1%":                {name: "d", nat: "kernel", box: natlab.NAT{Kernel: true}, link: natlab.Link{Delay: 7 * ms, Loss: 0.01}},
		"e:full-cone":                     {name: "e", nat: "full-cone", box: cone, link: natlab.Link{Delay: 7 * ms}},
		"e:open,jitter=2ms":               {name: "e", nat: "open", open: true, link: natlab.Link{Delay: 7 * ms, Jitter: 2 * ms}},
		"f:symmetric-3":                   {name: "f", nat: "symmetric-3", box: natlab.NAT{Mapping: nat.AddressAndPortDependent, Ports: nat.Delta{Kind: nat.Independent, Value: -3}}, link: natlab.Link{Delay: 7 * ms}},
		"g:dependent+2":                   {name: "g", nat: "dependent+2", box: natlab.NAT{Mapping: nat.AddressAndPortDependent, Ports: nat.Delta{Kind: nat.Dependent, Value: 2}}, link: natlab.Link{Delay: 7 * ms}},
		"h:full-cone,carrier=symmetric+1": {name: "h", nat: "full-cone", box: cone, carrier: &plusOne, link: natlab.Link{Delay: 7 * ms}},
		"i:port-restricted,refuse=rst":    {name: "i", nat: "port-restricted", box: rst, link: natlab.Link{Delay: 7 * ms}},
	} {
		got, err := parseLabHost(text, 7*ms)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", ":open", "1a", "a b", "server", "a:magic", "a:symmetric+0", "a:symmetric+", "a:symmetric+x", "a:open+1",
		"a:open,delay=-1s", "a:open,delay=x", "a:open,loss=101%", "a:open,loss=NaN", "a:open,refuse=maybe", "a:open,carrier=symmetric",
		"a:full-cone,carrier=open", "a:full-cone,colour=red", "a:full-cone+1", strings.Repeat("a", 21),
	} {
		if h, err := parseLabHost(text, 0); err == nil {
			t.Errorf("%q was taken as %+v", text, h)
		}
	}
	// Every word that the usage text names is taken.
	for _, word := range natWords {
		if _, _, err := parseNAT(word); err != nil {
			t.Error(err)
		}
	}
}

func TestSplitCommands(t *testing.T) {
	words := strings.Fields
	for text, want := range map[string][]labPart{
		"ls -l":            {{"a", words("ls -l")}},
		"b: ls":            {{"b", words("ls")}},
		"x --- y --- z":    nil, // no third host
		"x --- y --- a: z": {{"a", words("x")}, {"b", words("y")}, {"a", words("z")}},
		"c: x":             nil,
		"x ---":            nil,
		"--- x":            nil,
		"a:":               nil,
	} {
		got, err := splitCommands(words(text), []string{"a", "b"})
		if (err == nil) != (want != nil) || !reflect.DeepEqual(got, want) && want != nil {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
}

func FuzzParseLabHost(f *testing.F) {
	for _, s := range []string{"a", "a:symmetric+1,delay=3ms,jitter=1ms,loss=2%,refuse=icmp,carrier=kernel", "b:@a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parseLabHost(s, time.Millisecond)
		if err == nil && (!validLabName(h.name) || h.link.Loss < 0 || h.link.Loss > 1 || h.link.Delay < 0 || h.link.Jitter < 0) {
			t.Errorf("%q was taken as %+v", s, h)
		}
	})
}

func TestParseAllow(t *testing.T) {
	var keys []address.Key
	for range 3 {
		k, err := address.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k.Public())
	}
	levels := func(a signaling.Admission) (l [3]signaling.Level) {
		for n, k := range keys {
			l[n] = a.Level(k)
		}
		return l
	}
	const no, open, listed = signaling.Stranger, signaling.Open, signaling.Listed
	for text, want := range map[string][3]signaling.Level{
		"everyone": {open, open, open},
		"nobody":   {no, no, no},
		keys[0].String() + ", " + keys[2].String(): {listed, no, listed},
		"everyone," + keys[1].String():             {open, listed, open},
	} {
		got, err := parseAllow(text)
		if err != nil || levels(got) != want {
			t.Errorf("%q: got %v, %v; want %v", text, levels(got), err, want)
		}
	}
	for _, text := range []string{"", "nobody,everyone", keys[0].String() + ",", "None-0-0-zmUGXPOFxUBuToh-x"} {
		if _, err := parseAllow(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

// Whatever a configuration file holds, it sets flags or is refused.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{"port = 1", "broker = [\"0\", \"1\"]\n", "[x]\ny = 1\n", "stun = [[1]]", "echo = true", "timeout = 1979-05-27", "a.b = 1", "json = \"true\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a := &app{out: &bytes.Buffer{}, err: &bytes.Buffer{}}
		var flags nodeFlags
		c := &cobra.Command{}
		flags.register(a, c)
		if err := applyConfig("file", text, configKeys{"node", c.Flags(), nodeOnly}); err != nil && explain(err).status != statusMisused {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func TestLabelled(t *testing.T) {
	var b bytes.Buffer
	l := &labelled{w: &b, label: "a| "}
	for _, s := range []string{"one\ntw", "o\n", "\n", "three"} {
		if n, err := l.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	l.flush()
	if got, want := b.String(), "a| one\na| two\na| \na| three\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
