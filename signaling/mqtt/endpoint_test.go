package mqtt

import (
	"net"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/address"
)

func TestParseEndpoint(t *testing.T) {
	for _, x := range []struct {
		in, out, addr string
		secure, ws    bool
	}{
		{"tcp://a.example", "tcp://a.example", "a.example:1883", false, false},
		{"mqtt://a.example:99/", "mqtt://a.example:99/", "a.example:99", false, false},
		{"tls://a.example", "tls://a.example", "a.example:8883", true, false},
		{"ssl://1.2.3.4", "ssl://1.2.3.4", "1.2.3.4:8883", true, false},
		{"MQTTS://[::1]", "mqtts://[::1]", "[::1]:8883", true, false},
		{"ws://a.example", "ws://a.example/mqtt", "a.example:80", false, true},
		{"ws://a.example/", "ws://a.example/", "a.example:80", false, true},
		{"wss://u:p@a.example:8884/x?y=z#f", "wss://a.example:8884/x?y=z", "a.example:8884", true, true},
		{"tcp://[fe80::1%25eth0]:1", "tcp://[fe80::1%25eth0]:1", "[fe80::1%eth0]:1", false, false},
	} {
		e, err := parseEndpoint(x.in)
		if err != nil {
			t.Errorf("%q: %v", x.in, err)
			continue
		}
		if e.String() != x.out || e.address() != x.addr || e.secure != x.secure || e.ws != x.ws {
			t.Errorf("%q: %v %v secure %v ws %v", x.in, e, e.address(), e.secure, e.ws)
		}
	}
	for in, want := range map[string]string{
		"":                                     "scheme",
		"a.example:1883":                       "",
		"http://a.example":                     `scheme "http"`,
		"tcp://":                               "host",
		"tcp://:1883":                          "host",
		"tcp://a.example:0":                    "port",
		"tcp://a.example:65536":                "port",
		"tcp://a.example:x":                    "",
		"tcp://a.example/path":                 "path",
		"tcp://u:secret@a b":                   "no URL",
		"tcp://a" + strings.Repeat("a", 512):   "512 characters",
		"tcp://u:secret@a.example:99999/\x7f/": "no URL",
	} {
		_, err := parseEndpoint(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", in, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("credentials in %q", err)
		}
	}
}

func FuzzParseEndpoint(f *testing.F) {
	seeds := []string{"tcp://a", "wss://u:p@a.example:8884/x?y=z#f", "mqtts://[::1%25z]:1", "ws://a//", "tcp://a/?", ""}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := parseEndpoint(s)
		if err != nil {
			return
		}
		if _, _, err := net.SplitHostPort(e.address()); err != nil {
			t.Fatalf("%q: address %q", s, e.address())
		}
		again, err := parseEndpoint(e.String())
		if err != nil || again.String() != e.String() || again.address() != e.address() ||
			again.secure != e.secure || again.ws != e.ws || again.url.User != nil {
			t.Fatalf("%q prints as %q, which reads as %+v, %v", s, e, again, err)
		}
	})
}

func TestBrokerName(t *testing.T) {
	for b, want := range map[address.Broker]string{
		{Index: 3}:                      "broker 3",
		{URL: "tcp://u:secret@a:1"}:     "tcp://a:1",
		{URL: "gopher://u:secret@a:1/"}: "broker with a bad URL",
	} {
		if got := brokerName(b); got != want {
			t.Errorf("%+v: %q, want %q", b, got, want)
		}
	}
}
