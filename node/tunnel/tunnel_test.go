package tunnel

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var ticket = Ticket{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// vectors of the layout in the package comment.
var requests = []struct {
	hex  string
	want Request
}{
	{"7370740101" + "0016" + "09" + "6c6f63616c686f7374", Request{Kind: Dial, Place: Place{"localhost", 22}}},
	{"7370740101" + "0050" + "03" + "3a3a31", Request{Kind: Dial, Place: Place{"::1", 80}}},
	{"7370740102" + "0000" + "00", Request{Kind: Listen}},
	{"7370740102" + "1f90" + "07" + "302e302e302e30", Request{Kind: Listen, Place: Place{"0.0.0.0", 8080}}},
	{"7370740103" + "000102030405060708090a0b0c0d0e0f", Request{Kind: Take, Ticket: ticket}},
}

func TestRequests(t *testing.T) {
	for _, v := range requests {
		b, _ := hex.DecodeString(v.hex)
		r := bytes.NewReader(append(b, "what follows"...))
		got, err := ReadRequest(r)
		if err != nil || got != v.want {
			t.Errorf("%s is %+v, %v", v.hex, got, err)
		}
		if r.Len() != len("what follows") {
			t.Errorf("%s: %d bytes were left", v.hex, r.Len())
		}
		if !bytes.Equal(v.want.Bytes(), b) {
			t.Errorf("%+v is written %x", v.want, v.want.Bytes())
		}
		for n := range len(b) {
			want := io.ErrUnexpectedEOF
			if n == 0 {
				want = io.EOF
			}
			if _, err := ReadRequest(bytes.NewReader(b[:n])); !errors.Is(err, want) {
				t.Errorf("%d bytes of %s give %v", n, v.hex, err)
			}
		}
	}
}

func TestMalformedRequests(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"GET / HTTP/1.1\r\n", "not a tunnel's"},
		{"SSH-2.0-x\r\n", "not a tunnel's"},
		{"spt\x02\x01\x00\x16\x01a", "version 2"},
		{"spt\x01\x04", "kind 4"},
		{"spt\x01\x01\x00\x00\x01a", "port"},
		{"spt\x01\x01\x00\x16\x00", "host is missing"},
		{"spt\x01\x01\x00\x16\x01A", `host "A"`},
		{"spt\x01\x01\x00\x16\x070.0.0.0", "nowhere"},
		{"spt\x01\x01\x00\x16\x03a b", "host"},
		{"spt\x01\x01\x00\x16\xff" + strings.Repeat("a", 255), "255 bytes"},
		{"spt\x01\x01\x00\x16\x05127.1", "host"},
		{"spt\x01\x02\x00\x16\x09localhost", "no address to listen on"},
	} {
		_, err := ReadRequest(strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q gives %v", c.text, err)
		}
	}
}

func TestRepliesAndKnocks(t *testing.T) {
	for _, a := range []Reply{{}, {Status: Failed}, {Place: Place{"::", 80}}, {Status: Done, Place: Place{"127.0.0.1", 65535}}} {
		if got, err := ReadReply(bytes.NewReader(a.Bytes())); err != nil || got != a {
			t.Errorf("%+v came as %+v, %v", a, got, err)
		}
	}
	if got, err := ReadReply(strings.NewReader("spr\x01\x63\x00\x00\x00")); err != nil || got.Status != Failed {
		t.Errorf("a status of the future is %+v, %v", got, err)
	}
	if _, err := ReadReply(strings.NewReader("HTTP/1.1 400 Bad Request")); !errors.Is(err, ErrForeign) {
		t.Errorf("a web server's reply gives %v", err)
	}
	if _, err := ReadReply(bytes.NewReader(requests[0].want.Bytes())); !errors.Is(err, ErrForeign) {
		t.Errorf("an echo gives %v", err)
	}
	k := Knock{ticket, Place{"2001:db8::1", 40000}}
	if got, err := ReadKnock(bytes.NewReader(k.Bytes())); err != nil || got != k {
		t.Errorf("%+v came as %+v, %v", k, got, err)
	}
	if _, err := ReadKnock(strings.NewReader("")); err != io.EOF {
		t.Errorf("no more knocks give %v", err)
	}
}

func TestHosts(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1": "127.0.0.1", "::ffff:10.0.0.1": "10.0.0.1", "2001:DB8:0::1": "2001:db8::1",
		"Example.ORG.": "example.org", "my_host": "my_host", "xn--bcher-kva.example": "xn--bcher-kva.example",
	} {
		if got, err := ParseHost(in); err != nil || got != want {
			t.Errorf("%q is %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", ".", "a..b", "-a", "bücher.example", "fe80::1%eth0", "0.0.0.0", "::", "127.1", "0x7f000001", "a.0x1", "2130706433", strings.Repeat("a", 64), strings.Repeat("a.", 127) + "ab", "a\n", "[::1]", "*"} {
		if got, err := ParseHost(in); err == nil {
			t.Errorf("%q is taken for %q", in, got)
		}
	}
}

func TestRules(t *testing.T) {
	names := map[string][]netip.Addr{
		"localhost": {netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")},
		"db":        {netip.MustParseAddr("10.1.2.3")},
		"nowhere":   {netip.MustParseAddr("0.0.0.0")},
	}
	for _, c := range []struct {
		rules, place string
		want         string // what is dialled; "" is not allowed
		asked        bool   // whether the name is looked up
	}{
		{"", "127.0.0.1:22", "", false},
		{"127.0.0.1:22", "127.0.0.1:22", "127.0.0.1:22", false},
		{"127.0.0.1:22", "127.0.0.1:23", "", false},
		{"127.0.0.1:22", "127.0.0.2:22", "", false},
		{"127.0.0.1:22", "localhost:22", "127.0.0.1:22", true},
		{"127.0.0.1:22", "localhost:23", "", false},
		{"localhost:22", "127.0.0.1:22", "", false},
		{"LocalHost.:22", "localhost:22", "localhost:22", false},
		{"localhost:22", "db:22", "", false},
		{"10.0.0.0/8:*", "10.9.9.9:1", "10.9.9.9:1", false},
		{"10.0.0.0/8:*", "11.9.9.9:1", "", false},
		{"10.0.0.0/8:5432", "db:5432", "10.1.2.3:5432", true},
		{"[fd00::/8]:443", "[fd00::1]:443", "[fd00::1]:443", false},
		{"127.0.0.0/8:*,[::1]:*", "localhost:1", "[::1]:1 127.0.0.1:1", true},
		{"0.0.0.0/0:*", "nowhere:80", "", true},
		{"0.0.0.0/0:*", "unknown:80", "", true},
		{"*:443", "example.org:443", "example.org:443", false},
		{"*:443", "example.org:80", "", false},
		{"*:*", "example.org:80", "example.org:80", false},
		{"*:80,db:5432", "db:5432", "db:5432", false},
	} {
		var texts []string
		if c.rules != "" {
			texts = strings.Split(c.rules, ",")
		}
		rules, err := ParseRules(texts)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ParsePlace(c.place)
		if err != nil {
			t.Fatal(err)
		}
		asked := false
		to, err := rules.Resolve(context.Background(), p, func(_ context.Context, name string) ([]netip.Addr, error) {
			asked = true
			if a, ok := names[name]; ok {
				return a, nil
			}
			return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
		})
		if (err != nil) != (c.want == "") || err != nil && !errors.Is(err, ErrNotAllowed) {
			t.Errorf("%s, %s: %v", c.rules, c.place, err)
		}
		var got []string
		for _, p := range to {
			got = append(got, p.String())
		}
		if diff := cmp.Diff(strings.Fields(c.want), got); diff != "" && c.want != "" {
			t.Errorf("%s, %s: %s", c.rules, c.place, diff)
		}
		if asked != c.asked {
			t.Errorf("%s, %s: looked up: %v", c.rules, c.place, asked)
		}
	}
	for _, bad := range []string{"", "22", "host", "host:", "host:0", "host:65536", ":22", "a b:22", "10.0.0.0/33:1", "10.0.0.0/:1", "*", "fe80::1:22", "[fe80::1%1]:22"} {
		if r, err := ParseRules([]string{bad}); err == nil {
			t.Errorf("%q is taken for %v", bad, r)
		}
	}
	if _, err := ParseRules(make([]string, maxRules+1)); err == nil {
		t.Error("too many rules are taken")
	}
}

func TestStatusOf(t *testing.T) {
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", err)}
	}
	for _, c := range []struct {
		err  error
		want Status
	}{
		{nil, Done},
		{fmt.Errorf("x: %w", ErrNotAllowed), NotAllowed},
		{dial(syscall.ECONNREFUSED), Refused},
		{dial(syscall.EHOSTUNREACH), Unreachable},
		{dial(syscall.ENETUNREACH), Unreachable},
		{dial(syscall.ETIMEDOUT), TimedOut},
		{dial(syscall.EADDRINUSE), Taken},
		{&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, TimedOut},
		{&net.DNSError{IsNotFound: true}, NotFound},
		{&net.DNSError{IsTimeout: true}, TimedOut},
		{errors.New("odd"), Failed},
	} {
		if got := StatusOf(c.err); got != c.want {
			t.Errorf("%v is %d, not %d", c.err, got, c.want)
		}
	}
}

func FuzzReadRequest(f *testing.F) {
	if len(requests) == 0 {
		f.Fatal("no seeds")
	}
	for _, v := range requests {
		b, _ := hex.DecodeString(v.hex)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := ReadRequest(bytes.NewReader(b))
		if err != nil {
			return
		}
		if again := q.Bytes(); !bytes.HasPrefix(b, again) {
			t.Errorf("%x is %+v, which is written %x", b, q, again)
		}
	})
}

func FuzzReadReply(f *testing.F) {
	f.Add(Reply{Place: Place{"127.0.0.1", 80}}.Bytes())
	f.Add(Knock{ticket, Place{"::1", 80}}.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := ReadReply(bytes.NewReader(b)); err == nil {
			if again, err := ReadReply(bytes.NewReader(a.Bytes())); err != nil || again != a {
				t.Errorf("%x is %+v, and then %+v, %v", b, a, again, err)
			}
		}
		if k, err := ReadKnock(bytes.NewReader(b)); err == nil && !bytes.HasPrefix(b, k.Bytes()) {
			t.Errorf("%x is %+v", b, k)
		}
	})
}

func FuzzParseRules(f *testing.F) {
	for _, s := range []string{"127.0.0.1:22", "*:*", "10.0.0.0/8:80", "[fd00::/8]:443", "localhost:*"} {
		f.Add(s, "127.0.0.1:22")
	}
	f.Fuzz(func(t *testing.T, s, place string) {
		r, err := ParseRules([]string{s})
		if err == nil {
			if again, err := ParseRules([]string{r[0].String()}); err != nil || again[0] != r[0] {
				t.Errorf("%q is %v, and then %v, %v", s, r, again, err)
			}
		}
		p, err := ParsePlace(place)
		if err != nil {
			return
		}
		if again, err := ParsePlace(p.String()); err != nil || again != p {
			t.Errorf("%q is %v, and then %v, %v", place, p, again, err)
		}
		_ = r.Allow(p)
	})
}
