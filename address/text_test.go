package address

import (
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

// testKey is the public key of the private key n.
func testKey(n byte) Key {
	b := make([]byte, 32)
	b[31] = n
	p, err := PrivateKeyFromBytes(b)
	if err != nil {
		panic(err)
	}
	return p.Public()
}

// home is an address of one interface behind a home router.
func home() Address {
	return Address{
		Brokers: []Broker{{Index: 3}, {URL: "mqtts://my-broker.example:8883"}},
		V4: []Interface{{
			NetIndex: 2, External: netip.MustParseAddr("203.0.113.7"), Internal: netip.MustParseAddr("192.168.1.20"),
			Port: 40001, NAT: nat.Symmetric, Delta: nat.Delta{Kind: nat.Independent, Value: -3},
			ExternalPort: 51234, BrokerRTT: 23 * time.Millisecond,
		}},
		Key:       testKey(1),
		MachineID: "0badcafe",
	}
}

const homeText = "3,mqtts://my%2Dbroker.example:8883-[2,0,203.0.113.7,192.168.1.20,40001,6,4,65533,51234,23]-0-jesTu2BpszP8DKSoi1R5G6ggjHrsrVnboLdx6V47vkoR-0badcafe"

func TestTextMeansWhatItSays(t *testing.T) {
	a, err := Parse(homeText)
	if err != nil {
		t.Fatal(err)
	}
	if want := home(); !reflect.DeepEqual(a, want) {
		t.Errorf("read as\n%+v, not\n%+v", a, want)
	}
	if got := home().String(); got != homeText {
		t.Errorf("prints as %q\nnot       %q", got, homeText)
	}
	if got, want := a.V4[0].ExternalEndpoint().String(), "203.0.113.7:51234"; got != want {
		t.Errorf("external endpoint %s, not %s", got, want)
	}
}

func TestFamiliesStayApart(t *testing.T) {
	a, err := Parse("None-[1,0,8.8.8.8,8.8.8.8,1,1,1,0]-[1,0,2001:db8::1,2001:db8::1,2,1,1,0]-x-")
	if err != nil {
		t.Fatal(err)
	}
	if len(a.V4) != 1 || len(a.V6) != 1 || a.V4[0].Port != 1 || a.V6[0].Port != 2 {
		t.Errorf("read as %+v", a)
	}
	if all := a.Interfaces(); len(all) != 2 || all[0] != a.V4[0] || all[1] != a.V6[0] {
		t.Errorf("all interfaces: %v", all)
	}
}

// TestEveryFailureHasItsOwnWords pins whole messages, which people read.
func TestEveryFailureHasItsOwnWords(t *testing.T) {
	const key = "jesTu2BpszP8DKSoi1R5G6ggjHrsrVnboLdx6V47vkoR"
	compact, err := home().Compact()
	if err != nil {
		t.Fatal(err)
	}
	iface := func(fields string) string { return "0-[" + fields + "]-0-" + key + "-m" }
	for in, want := range map[string]string{
		"":                                          "address: expected an address, not an empty string",
		iface("1,0,8.8.8.8,8.8.8.8,1,99,2,0"):       `nat of IPv4 interface 1 at byte 25: found "99": expected a number of 1 to 7`,
		iface("1,0,8.8.8.8,8.8.8.8,0,1,2,0"):        `port of IPv4 interface 1 at byte 23: found "0": expected a number of 1 to 65535`,
		iface("1,0,8.8.8.8,8.8.8.8,65536,1,2,0"):    `port of IPv4 interface 1 at byte 23: found "65536": expected a number of 1 to 65535`,
		iface("1,0,2001:db8::1,8.8.8.8,1,1,2,0"):    `external address of IPv4 interface 1 at byte 7: found "2001:db8::1": expected an IPv4 address`,
		"0-0-[1,0,8.8.8.8,::1,1,1,2,0]-" + key:      `external address of IPv6 interface 1 at byte 9: found "8.8.8.8": expected an IPv6 address`,
		iface("1,0,8.8.8.8,8.8.8.8,1,6,4,-2"):       `expected a number of 0 to 65535 (a delta of -n is written 65536-n)`,
		"0-0-[1,0,fe80::1%eth0,::1,1,1,2,0]-" + key: `expected an IPv6 address without a zone`,
		"0-" + strings.Repeat("|[1,0,8.8.8.8,8.8.8.8,1,1,2,0]", 4)[1:] + "-0-" + key + "-m": `IPv4 interface 4 at byte 92: expected at most 3 interfaces of one family`,
		"0-0-0":                               "node id at byte 5: expected five parts joined by -, but the text ends before this one",
		"0-0-0-" + key + "-m-rest":            `end of address at byte 52: found "-rest": expected nothing after the machine id`,
		strings.Replace(key, "8DK", "D8K", 1): `node id: found "jesTu2BpszPD8KSoi1R5G6ggjHrsrVnboLdx6V47vkoR": expected a node id of 44 or 45 base58 characters that is a public key; a character is wrong, or missing`,
		compact[:18] + compact[19:20] + compact[18:19] + compact[20:]: "checksum: expected the compact address as it was given; a character is wrong, missing, swapped or too many",
		"t" + compact[1:]:              `prefix: found "t_": expected s_, as compact addresses begin; another letter may be a newer version`,
		"hello":                        `address "hello": expected five parts joined by -, or a compact address, or a node id of 44 or 45 characters`,
		strings.Repeat("0", 1_000_000): "address at byte 4096: expected at most 4096 bytes, not 1000000",
		"mqtt://me:secret@b.example-0-0-" + key + "-m":                      "expected no user name or password, as addresses are public",
		compactPrefix + strings.Repeat("z", 3000):                           "expected at most 2048 characters, not 3002",
		strings.Repeat("9,", 8) + "77-0-0-" + key + "-m":                    "expected every broker once",
		"mqtt://" + strings.Repeat("a.", 80) + "example-0-0-" + key + "-m":  "expected a URL of at most 128 bytes, not 174",
		"None-0-0-" + strings.Repeat("x", 65) + "-m":                        "expected 1 to 64 letters, digits and _",
		"None-0-0-x-\xff\xfe":                                               `address at byte 11: found "\xff\xfe": expected printable ASCII without white space`,
		"None-0-0-x-m\n":                                                    `found "\n": expected printable ASCII without white space`,
		"mqtt://b\u00fccher.example-0-0-x-":                                 "expected printable ASCII",
		"mqtt://b%C3%BCcher.example-0-0-x-":                                 "names in other scripts are written in Punycode",
		"%31-0-0-x-":                                                        "expected an index without percent-encoding",
		"[1,0,8.8.8.8,8.8.8.8,1,1,2,0]-0-" + key + "-m":                     `broker 1: found "[1": expected an index, or a URL as mqtts://host:port`,
		"None-[1,0,8.8.8.8,8.8.8.8,1,1,2,0]|0-0-x-":                         `IPv4 interface 2 at byte 35: found "0"`,
		"None-[1,0,8.8.8.8,8.8.8.8,1,1,2,0][1,1,8.8.8.8,8.8.8.8,1,1]-0-x-m": "expected a - before it",
	} {
		_, err := Parse(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%.80q)\ngives     %v\nand lacks %s", in, err, want)
		}
	}
}

func TestTooLong(t *testing.T) {
	huge := strings.Repeat("0,", 500_000)
	_, err := Parse(huge)
	var pe *ParseError
	if !errors.As(err, &pe) || pe.Failure != TooLong {
		t.Fatalf("1 MB is refused with %v", err)
	}
	if n := len(err.Error()); n > 200 {
		t.Errorf("the message has %d bytes", n)
	}
	// Refused unread: what is allocated is the error, whatever the length.
	if n := testing.AllocsPerRun(10, func() { _, _ = Parse(huge) }); n > 10 {
		t.Errorf("refusing 1 MB takes %v allocations", n)
	}
	if err := new(Address).UnmarshalText([]byte(huge)); err == nil || !strings.Contains(err.Error(), "not 1000000") {
		t.Errorf("UnmarshalText refuses with %v", err)
	}
	if _, err := Parse(compactPrefix + strings.Repeat("1", maxCompact)); !errors.As(err, &pe) || pe.Failure != TooLong {
		t.Errorf("a compact address that is too long is refused with %v", err)
	}
}

func TestJSON(t *testing.T) {
	type message struct {
		From   Address   `json:"from"`
		Broker Broker    `json:"broker"`
		Key    Key       `json:"key"`
		Others []Address `json:"others"`
	}
	in := message{home(), Broker{URL: "wss://b.example:443/mqtt"}, testKey(6), []Address{{Key: testKey(6)}}}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), `"from":"`+homeText+`"`) {
		t.Errorf("marshals as %s", b)
	}
	var out message
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(in, out) {
		t.Errorf("comes back as %+v", out)
	}
	was := out.From
	if err := json.Unmarshal([]byte(`{"from":"None-0-0"}`), &out); err == nil || !reflect.DeepEqual(out.From, was) {
		t.Errorf("error %v, and the address is now %v", err, out.From)
	}
	if _, err := json.Marshal(Address{}); err == nil {
		t.Error("the zero Address marshals")
	}
}

func TestZeroAddress(t *testing.T) {
	s := Address{}.String()
	if _, err := Parse(s); err == nil {
		t.Errorf("the zero Address prints as %q, which parses", s)
	}
	if _, err := (Address{}).Compact(); err == nil {
		t.Error("the zero Address has a compact form")
	}
}
