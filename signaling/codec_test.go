package signaling

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/signaling/seal"
)

// testKey gives the same key for the same number.
func testKey(t testing.TB, n byte) address.PrivateKey {
	t.Helper()
	k, err := address.PrivateKeyFromBytes(append(bytes.Repeat([]byte{0x5a}, 31), n))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func testAddress(k address.Key) address.Address {
	return address.Address{
		Brokers: []address.Broker{{Index: 0}, {Index: 2}},
		V4: []address.Interface{{
			NetIndex: 0, Index: 1,
			External: netip.MustParseAddr("198.51.100.7"), Internal: netip.MustParseAddr("192.168.1.5"),
			Port: 4001, NAT: nat.PortRestricted, Delta: nat.Delta{Kind: nat.Equal},
		}},
		Key: k, MachineID: "a1b2c3d4",
	}
}

func endpointList(s ...string) []netip.AddrPort {
	list := make([]netip.AddrPort, len(s))
	for n := range s {
		list[n] = netip.MustParseAddrPort(s[n])
	}
	return list
}

// message gives a valid message of each kind.
func message(t testing.TB, kind Kind) Message {
	t.Helper()
	m := Message{
		Kind: kind, ID: ID{1}, Sent: 1_800_000_000_000, TTL: 30_000,
		From: testAddress(testKey(t, 1).Public()),
	}
	switch kind {
	case KindDirect:
		m.Attempt = ID{2}
		m.Direct = &Direct{Secret: ID{3}, Dial: endpointList("198.51.100.7:4001", "[2001:db8::7]:4001")}
	case KindPunch:
		m.Attempt = ID{2}
		m.Punch = &Punch{
			Secret: ID{3}, Role: RoleDialer, Round: 1, Fire: 120,
			From: endpointList("198.51.100.7:4001"), To: endpointList("203.0.113.9:5000"),
			At: netip.MustParseAddrPort("203.0.113.9:5000"),
		}
	case KindRelay:
		m.Attempt = ID{2}
		m.Relay = &Relay{Secret: ID{3}, Dial: endpointList("203.0.113.50:50001"), Loan: &Loan{
			At: netip.MustParseAddrPort("203.0.113.50:443"), TLS: "relay.example.org", User: "1800000600:lent-0123456789abcdef", Password: "aa/b+=",
		}}
	case KindReturnAddress, KindAck, KindRefuse:
		m.Answers, m.Heard = ID{4}, 1_800_000_000_100
	}
	if kind == KindRefuse {
		m.Refuse = &Refuse{Reason: RefusedBusy, Detail: "später"}
	}
	return m
}

var kinds = []Kind{KindDirect, KindPunch, KindRelay, KindGetAddress, KindReturnAddress, KindAck, KindRefuse}

var sameMessage = cmp.Options{
	cmpopts.EquateComparable(netip.AddrPort{}, netip.Addr{}, address.Key{}), cmpopts.EquateEmpty(),
}

func TestEncodeDecode(t *testing.T) {
	for _, kind := range append(kinds, "P2P_LATER") {
		t.Run(string(kind), func(t *testing.T) {
			m := message(t, kind)
			body, err := Encode(m)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(body)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(m, got, sameMessage); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestLargest shows that no message which keeps its limits is too long.
func TestLargest(t *testing.T) {
	m := message(t, KindPunch)
	long := netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:6666]:65535")
	m.Punch.From, m.Punch.To, m.Punch.At = nil, nil, long
	for range MaxMappings {
		m.Punch.From, m.Punch.To = append(m.Punch.From, long), append(m.Punch.To, long)
	}
	m.From.Brokers = nil
	for n := range address.MaxBrokers {
		host := strings.Repeat(string(rune('a'+n))+"-", 29) + "x." + strings.Repeat("b-", 24) + "y" // a hyphen takes three bytes
		b, err := address.ParseBroker("mqtts://" + host + ":8883")
		if err != nil {
			t.Fatal(err)
		}
		m.From.Brokers = append(m.From.Brokers, b)
	}
	i := m.From.V4[0]
	i.NetIndex, i.Index, i.Port, i.ExternalPort, i.BrokerRTT = 65535, 65535, 65535, 65534, 65535e6
	i.Delta = nat.Delta{Kind: nat.Independent, Value: -1}
	m.From.V4 = []address.Interface{i, i, i}
	i.External, i.Internal = long.Addr(), long.Addr()
	m.From.V6 = []address.Interface{i, i, i}
	m.From.MachineID = strings.Repeat("m", 64)
	m.Answers, m.Heard, m.Delay, m.Sent = ID{4}, maxTime, MaxDelay, maxTime
	body, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d bytes", len(body), seal.MaxBody)

	small, err := Encode(message(t, KindPunch))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := seal.Seal(testKey(t, 1), testKey(t, 2).Public(), small)
	if err != nil || len(sealed) != seal.Buckets[0] {
		t.Errorf("an ordinary punch takes %d bytes, error %v", len(sealed), err)
	}
}

func TestValidate(t *testing.T) {
	cases := []struct {
		name   string
		kind   Kind
		change func(*Message)
		want   string // part of the error
	}{
		{"no kind", "", func(*Message) {}, "kind"},
		{"kind in lower case", "get_addr", func(*Message) {}, "kind"},
		{"kind too long", Kind(strings.Repeat("A", 33)), func(*Message) {}, "kind"},
		{"no id", KindGetAddress, func(m *Message) { m.ID = ID{} }, "no id"},
		{"sent at 0", KindGetAddress, func(m *Message) { m.Sent = 0 }, "sent"},
		{"sent before 1970", KindGetAddress, func(m *Message) { m.Sent = -1 }, "sent"},
		{"sent after 2248", KindGetAddress, func(m *Message) { m.Sent = maxTime + 1 }, "sent"},
		{"ttl 0", KindGetAddress, func(m *Message) { m.TTL = 0 }, "ttl"},
		{"ttl huge", KindGetAddress, func(m *Message) { m.TTL = 60_001 }, "ttl"},
		{"ttl negative", KindGetAddress, func(m *Message) { m.TTL = -1 }, "ttl"},
		{"delay negative", KindGetAddress, func(m *Message) { m.Delay = -1 }, "delay"},
		{"delay huge", KindGetAddress, func(m *Message) { m.Delay = 60_001 }, "delay"},
		{"heard in a question", KindGetAddress, func(m *Message) { m.Heard = 1 }, "heard"},
		{"heard before 1970", KindAck, func(m *Message) { m.Heard = -1 }, "heard"},
		{"an answer without heard", KindAck, func(m *Message) { m.Heard = 0 }, "heard"},
		{"an answer to nothing", KindAck, func(m *Message) { m.Answers, m.Heard = ID{}, 0 }, "answers no message"},
		{"a question that answers", KindGetAddress, func(m *Message) { m.Answers, m.Heard = ID{1}, 1 }, "is a question"},
		{"no sender", KindGetAddress, func(m *Message) { m.From.Key = address.Key{} }, "no key"},
		{"foreign sender", KindGetAddress, func(m *Message) { m.From.Key, m.From.Foreign = address.Key{}, "x" }, "no key"},
		{"direct without section", KindDirect, func(m *Message) { m.Direct = nil }, `no section "direct"`},
		{"direct without attempt", KindDirect, func(m *Message) { m.Attempt = ID{} }, "no attempt"},
		{"direct without secret", KindDirect, func(m *Message) { m.Direct.Secret = ID{} }, "no secret"},
		{"direct to nowhere", KindDirect, func(m *Message) { m.Direct.Dial = nil }, "0 addresses"},
		{"direct to seven", KindDirect, func(m *Message) {
			m.Direct.Dial = endpointList(strings.Split(strings.Repeat("1.2.3.4:5 ", 6)+"1.2.3.4:5", " ")...)
		}, "7 addresses"},
		{"direct to port 0", KindDirect, func(m *Message) { m.Direct.Dial = endpointList("1.2.3.4:0") }, "no port"},
		{"direct into a zone", KindDirect, func(m *Message) { m.Direct.Dial = endpointList("[fe80::1%eth0]:1") }, "zone"},
		{"direct in disguise", KindDirect, func(m *Message) { m.Direct.Dial = endpointList("[::ffff:1.2.3.4]:1") }, "dressed"},
		{"direct to the empty address", KindDirect, func(m *Message) { m.Direct.Dial = make([]netip.AddrPort, 1) }, "empty"},
		{"punch without section", KindPunch, func(m *Message) { m.Punch = nil }, `no section "punch"`},
		{"punch without attempt", KindPunch, func(m *Message) { m.Attempt = ID{} }, "no attempt"},
		{"punch without secret", KindPunch, func(m *Message) { m.Punch.Secret = ID{} }, "no secret"},
		{"punch without role", KindPunch, func(m *Message) { m.Punch.Role = "" }, "role"},
		{"punch from nowhere", KindPunch, func(m *Message) { m.Punch.From = nil }, "0 addresses"},
		{"punch from seventeen", KindPunch, func(m *Message) { m.Punch.From = make([]netip.AddrPort, 17) }, "17 addresses"},
		{"punch to seventeen", KindPunch, func(m *Message) { m.Punch.To = make([]netip.AddrPort, 17) }, "17 addresses"},
		{"punch at port 0", KindPunch, func(m *Message) { m.Punch.At = netip.MustParseAddrPort("1.2.3.4:0") }, "no port"},
		{"punch before its time", KindPunch, func(m *Message) { m.Punch.Fire = -1 }, "fire"},
		{"punch too late", KindPunch, func(m *Message) { m.Punch.Fire = 10_001 }, "fire"},
		{"punch in round -1", KindPunch, func(m *Message) { m.Punch.Round = -1 }, "round"},
		{"punch for ever", KindPunch, func(m *Message) { m.Punch.Round = 101 }, "round"},
		{"relay without section", KindRelay, func(m *Message) { m.Relay = nil }, `no section "relay"`},
		{"relay without attempt", KindRelay, func(m *Message) { m.Attempt = ID{} }, "no attempt"},
		{"relay without secret", KindRelay, func(m *Message) { m.Relay.Secret = ID{} }, "no secret"},
		{"an answer's relay nowhere", KindRelay, func(m *Message) { m.Relay.Dial, m.Answers, m.Heard = nil, ID{1}, 1 }, "0 addresses"},
		{"a loan for nowhere", KindRelay, func(m *Message) { m.Relay.Dial = nil }, "0 addresses"},
		{"a loan at no address", KindRelay, func(m *Message) { m.Relay.Loan.At = netip.AddrPort{} }, "an empty address"},
		{"a loan without user", KindRelay, func(m *Message) { m.Relay.Loan.User = "" }, "user has 0 bytes"},
		{"a loan with a long password", KindRelay, func(m *Message) { m.Relay.Loan.Password = strings.Repeat("x", 257) }, "password has 257 bytes"},
		{"a loan with another alphabet", KindRelay, func(m *Message) { m.Relay.Loan.TLS = "räläy" }, "not printable"},
		{"relay at port 0", KindRelay, func(m *Message) { m.Relay.Dial = endpointList("1.2.3.4:0") }, "no port"},
		{"a relay in a punch", KindPunch, func(m *Message) { m.Relay = &Relay{} }, "does not belong"},
		{"refusal without section", KindRefuse, func(m *Message) { m.Refuse = nil }, `no section "refuse"`},
		{"refusal without reason", KindRefuse, func(m *Message) { m.Refuse.Reason = "" }, "reason"},
		{"refusal with a strange reason", KindRefuse, func(m *Message) { m.Refuse.Reason = "\x1b[2J" }, "reason"},
		{"refusal with a story", KindRefuse, func(m *Message) { m.Refuse.Detail = strings.Repeat("x", 201) }, "201 bytes"},
		{"refusal that rings the bell", KindRefuse, func(m *Message) { m.Refuse.Detail = "\a" }, "printable"},
		{"refusal that turns the text round", KindRefuse, func(m *Message) { m.Refuse.Detail = "\u202e" }, "printable"},
		{"refusal that is not UTF-8", KindRefuse, func(m *Message) { m.Refuse.Detail = "\xff" }, "UTF-8"},
		{"a section of another kind", KindGetAddress, func(m *Message) { m.Refuse = &Refuse{Reason: RefusedBusy} }, "does not belong"},
		{"a bad section of a newer kind", "P2P_LATER", func(m *Message) { m.Punch = &Punch{} }, "no secret"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := message(t, c.kind)
			c.change(&m)
			err := m.Validate()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			if _, err := Encode(m); err == nil {
				t.Error("Encode took it")
			}
		})
	}
}

// A question may ask for a relay of the recipient's, and so name none.
func TestRelayAskedFor(t *testing.T) {
	m := message(t, KindRelay)
	m.Relay.Dial, m.Relay.Loan = nil, nil
	b, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Decode(b); err != nil || got.Relay == nil || got.Relay.Loan != nil || len(got.Relay.Dial) > 0 {
		t.Errorf("%s came back as %+v, %v", b, got.Relay, err)
	}
}

// byNodes is a message about nodes that relay.
func byNodes(t testing.TB, by ...address.Address) Message {
	m := message(t, KindRelay)
	m.Relay = &Relay{Secret: ID{3}, By: append([]address.Address{}, by...)}
	return m
}

// introduced is a node as others are told of it.
func introduced(t testing.TB, number byte) address.Address {
	return address.Address{Brokers: []address.Broker{{Index: 1}}, Key: testKey(t, number).Public()}
}

// A message may name nodes that relay, or ask for such: an empty list is another
// thing than none.
func TestNodesThatRelay(t *testing.T) {
	full := testAddress(testKey(t, 5).Public())
	answer := func(m Message) Message {
		m.Answers, m.Heard = ID{4}, 1
		return m
	}
	for name, c := range map[string]struct {
		m    Message
		want string // of the error
	}{
		"none, as a question": {byNodes(t), ""},
		"none, as an answer":  {answer(byNodes(t)), `0 nodes in "by"`},
		"three":               {byNodes(t, introduced(t, 5), introduced(t, 6), introduced(t, 7)), ""},
		"one, as an answer":   {answer(byNodes(t, introduced(t, 5))), ""},
		"four":                {byNodes(t, introduced(t, 5), introduced(t, 6), introduced(t, 7), introduced(t, 8)), `4 nodes in "by"`},
		"twice the same":      {byNodes(t, introduced(t, 5), introduced(t, 5)), "stands twice"},
		"one without a key":   {byNodes(t, address.Address{Foreign: "zmUGXPOFxUBuToh"}), "no key"},
		"one with interfaces": {byNodes(t, full), "more than brokers and a key"},
		"beside an endpoint": {func() Message {
			m := byNodes(t, introduced(t, 5))
			m.Relay.Dial = endpointList("203.0.113.50:50001")
			return m
		}(), "beside endpoints"},
		"beside a loan": {func() Message {
			m := byNodes(t)
			m.Relay.Loan = message(t, KindRelay).Relay.Loan
			return m
		}(), "beside endpoints"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := Encode(c.m)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(b)
			if diff := cmp.Diff(c.m, got, sameMessage); err != nil || diff != "" || got.Relay.By == nil {
				t.Errorf("%s came back as %+v, %v", b, got.Relay, err)
			}
		})
	}
}

func TestDecodeStrictAndLax(t *testing.T) {
	good, err := Encode(message(t, KindPunch))
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, with string) string {
		if !strings.Contains(string(good), old) {
			t.Fatalf("%q is not in %s", old, good)
		}
		return strings.Replace(string(good), old, with, 1)
	}
	cases := []struct {
		name, body string
		ok         bool
	}{
		{"as it was", string(good), true},
		{"an unknown field", change(`{`, `{"later":{"a":[1]},`), true},
		{"an unknown field in a section", change(`"role"`, `"colour":"red","role"`), true},
		{"an unknown kind", change(`"P2P_PUNCH"`, `"P2P_LATER"`), true},
		{"white space", " \n" + string(good) + "\n", true},
		{"something after it", string(good) + "{}", false},
		{"nothing", "", false},
		{"null", "null", false},
		{"a list", "[]", false},
		{"half of it", string(good[:len(good)/2]), false},
		{"an id too short", change(`"id":"01`, `"id":"`), false},
		{"an id of no hex", change(`"id":"01`, `"id":"zz`), false},
		{"an id of null", change(`"id":"01`+strings.Repeat("00", 15)+`"`, `"id":null`), false},
		{"a ttl with a fraction", change(`"ttl":30000`, `"ttl":1.5`), false},
		{"a ttl in words", change(`"ttl":30000`, `"ttl":"30000"`), false},
		{"a ttl beyond int64", change(`"ttl":30000`, `"ttl":99999999999999999999`), false},
		{"a null among the addresses", change(`"from":["198.51.100.7:4001"]`, `"from":[null]`), false},
		{"a host name among the addresses", change(`"198.51.100.7:4001"]`, `"localhost:4001"]`), false},
		{"a broken sender", change(`"from":"0,2-`, `"from":"0,0,0-`), false},
		{"not UTF-8", change(`{`, "{\"x\":\"\xff\","), false},
		{"too long", change(`{`, `{"x":"`+strings.Repeat("x", seal.MaxBody)+`",`), false},
		{"very deep", change(`{`, `{"x":`+strings.Repeat("[", 3000)+strings.Repeat("]", 3000)+`,`), true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Decode([]byte(c.body))
			if (err == nil) != c.ok {
				t.Errorf("error %v, want ok %t", err, c.ok)
			}
		})
	}
}

// FuzzDecode shows that what was decoded keeps its limits and survives a second
// round unchanged.
func FuzzDecode(f *testing.F) {
	if len(kinds) == 0 {
		f.Fatal("no seeds")
	}
	for _, kind := range append(kinds, "P2P_LATER") {
		body, err := Encode(message(f, kind))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	for _, m := range []Message{byNodes(f), byNodes(f, introduced(f, 5), introduced(f, 6))} {
		body, err := Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := Decode(body)
		if err != nil {
			if diff := cmp.Diff(Message{}, m, sameMessage); diff != "" {
				t.Fatal("something came out along with an error", diff)
			}
			return
		}
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if len(again) > seal.MaxBody {
			return // it was written more tersely, which only others do
		}
		second, err := Decode(again)
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, body, again)
		}
		if diff := cmp.Diff(m, second, sameMessage); diff != "" {
			t.Fatal(diff)
		}
	})
}
