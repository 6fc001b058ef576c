package address

import (
	"strings"
	"testing"
)

func TestParseBroker(t *testing.T) {
	for in, want := range map[string]string{
		"0":                                 "0",
		"65535":                             "65535",
		"mqtt://b.example":                  "mqtt://b.example:1883",
		"tcp://b.example":                   "tcp://b.example:1883",
		"ssl://b.example":                   "ssl://b.example:8883",
		"tls://b.example":                   "tls://b.example:8883",
		"mqtts://b.example":                 "mqtts://b.example:8883",
		"ws://b.example":                    "ws://b.example:80",
		"wss://b.example":                   "wss://b.example:443",
		"MQTTS://My-Broker_1.Example:0999/": "mqtts://my-broker_1.example:999",
		"wss://b.example/Mqtt/x-y":          "wss://b.example:443/Mqtt/x-y",
		"ws://localhost:9001/a%2Fb":         "ws://localhost:9001/a%2Fb",
		"tcp://127.0.0.1:1883":              "tcp://127.0.0.1:1883",
		"tcp://[2001:DB8:0:0::1]":           "tcp://[2001:db8::1]:1883",
		"tcp://xn--bcher-kva.example:1":     "tcp://xn--bcher-kva.example:1",
	} {
		b, err := ParseBroker(in)
		if err != nil || b.String() != want {
			t.Errorf("ParseBroker(%q) = %q, %v, not %q", in, b, err, want)
		}
	}
	for in, want := range map[string]string{
		"":                                   "an index, or a URL",
		"-1":                                 "an index, or a URL",
		"00":                                 "without leading zeros",
		"65536":                              "an index of 0 to 65535",
		"99999999999999999999999":            "an index of 0 to 65535",
		"b.example":                          "an index, or a URL",
		"b.example:1883":                     "an index, or a URL",
		"mqtt:b.example":                     "an index, or a URL",
		"mqtt://":                            "an index, or a URL",
		"mqtt://:1883":                       "a host name or an IP address",
		"https://b.example":                  "one of the schemes",
		"mqtt://me@b.example":                "no user name or password",
		"mqtt://me:secret@b.example":         "no user name or password",
		"mqtt://@b.example":                  "no user name or password",
		"ws://b.example/?x":                  "no query",
		"ws://b.example/?":                   "no query",
		"ws://b.example/#":                   "no query and no fragment",
		"mqtt://b.example/x":                 "no path",
		"mqtt://b.example:0":                 "a port of 1 to 65535",
		"mqtt://b.example:65536":             "a port of 1 to 65535",
		"mqtt://b.example:x":                 "an index, or a URL",
		"mqtt://b..example":                  "a host name",
		"mqtt://b.example.":                  "a host name",
		"mqtt://b$.example":                  "a host name",
		"mqtt://" + strings.Repeat("a", 64):  "a host name",
		"mqtt://1.2.3":                       "an IP address of four numbers",
		"mqtt://1.2.3.256":                   "an IP address of four numbers",
		"mqtt://2130706433":                  "an IP address of four numbers",
		"mqtt://[::1%25lo]":                  "without a zone",
		"mqtt://[::ffff:1.2.3.4]":            "an IPv6 address",
		"mqtt://[1.2.3.4]":                   "an index, or a URL",
		"mqtt://[b.example]":                 "an index, or a URL",
		"mqtt://b\u00fccher.example":         "printable ASCII",
		"mqtt://b.example\n":                 "printable ASCII",
		"ws://b/" + strings.Repeat("x", 130): "at most 128 bytes, not 137",
		"ws://b/" + strings.Repeat("^", 100): "at most 128 bytes, not 310",
	} {
		b, err := ParseBroker(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseBroker(%q) = %q, %v, which lacks %q", in, b, err, want)
		}
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("ParseBroker(%q): a message of %d bytes", in, len(err.Error()))
		}
	}
}

func TestBrokerText(t *testing.T) {
	var b Broker
	if err := b.UnmarshalText([]byte("mqtt://b.example")); err != nil || b.URL != "mqtt://b.example:1883" {
		t.Errorf("read as %+v, %v", b, err)
	}
	if err := b.UnmarshalText([]byte("x")); err == nil || b.URL == "" {
		t.Errorf("a bad text gives %v and leaves %+v", err, b)
	}
	if text, err := b.MarshalText(); err != nil || string(text) != "mqtt://b.example:1883" {
		t.Errorf("written as %q, %v", text, err)
	}
	if text, err := (Broker{URL: "mqtt://b.example"}).MarshalText(); err == nil {
		t.Errorf("a URL that is not canonical is written as %q", text)
	}
}
