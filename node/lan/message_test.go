package lan

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"
	"time"
)

// The vectors of docs/lan.md.
const (
	queryVector = "6c616e3171" + "000102030405060708090a0b0c0d0e0f" + "0000018bcfe56800" +
		"00000000000000000000ffffc0a8010a" + "c001"
	answerVector = "6c616e3161" + "000102030405060708090a0b0c0d0e0f" +
		"fe800000000000000000000000000001" + "10e1"
)

var (
	someQuery = query{
		nonce: nonce{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
		sent:  time.UnixMilli(1700000000000), from: netip.MustParseAddrPort("192.168.1.10:49153"),
	}
	someAnswer = answer{nonce: someQuery.nonce, at: netip.MustParseAddrPort("[fe80::1%eth0]:4321")}
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVectors(t *testing.T) {
	q, a := unhex(t, queryVector), unhex(t, answerVector)
	if got := someQuery.append(nil); !bytes.Equal(got, q) {
		t.Errorf("query\n%x, want\n%x", got, q)
	}
	if got := someAnswer.append(nil); !bytes.Equal(got, a) {
		t.Errorf("answer\n%x, want\n%x", got, a)
	}
	if got, err := parseQuery(q); err != nil || got != someQuery {
		t.Errorf("query %+v, %v", got, err)
	}
	want := answer{someAnswer.nonce, netip.MustParseAddrPort("[fe80::1]:4321")} // no zone travels
	if got, err := parseAnswer(a); err != nil || got != want {
		t.Errorf("answer %+v, %v", got, err)
	}
}

func TestParseRefuses(t *testing.T) {
	q, a := unhex(t, queryVector), unhex(t, answerVector)
	with := func(b []byte, at int, change ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], change)
		return b
	}
	for name, tt := range map[string]struct {
		query, answer []byte
		want          error
	}{
		"nothing":          {[]byte{}, []byte{}, errFormat},
		"short":            {q[:len(q)-1], a[:len(a)-1], errFormat},
		"long":             {append(bytes.Clone(q), 0), append(bytes.Clone(a), 0), errFormat},
		"the other kind":   {a, q, errFormat},
		"another head":     {with(q, 3, '2'), with(a, 3, '2'), errFormat},
		"a signal's":       {with(q, 0, '{'), with(a, 0, '{'), errFormat},
		"port 0":           {with(q, 45, 0, 0), with(a, 37, 0, 0), errPlace},
		"unspecified":      {with(q, 29, make([]byte, 16)...), with(a, 21, make([]byte, 16)...), errPlace},
		"0.0.0.0":          {with(q, 41, 0, 0, 0, 0), nil, errPlace},
		"multicast":        {with(q, 41, 239, 255, 83, 80), with(a, 21, 0xff, 0x12), errPlace},
		"a service's port": {with(q, 45, 3, 255), nil, errPlace},
	} {
		if _, err := parseQuery(tt.query); err != tt.want {
			t.Errorf("%s: the query gave %v", name, err)
		}
		if tt.answer == nil {
			continue
		}
		if _, err := parseAnswer(tt.answer); err != tt.want {
			t.Errorf("%s: the answer gave %v", name, err)
		}
	}
}

// What parses comes out again as it was, and names a place that may be.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{queryVector, answerVector} {
		f.Add(unhex(f, seed))
		f.Add(unhex(f, seed[2:]))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := parseQuery(b); err == nil {
			if back := q.append(nil); !bytes.Equal(back, b) {
				t.Errorf("%x came back as %x", b, back)
			}
			if q.from.Port() < lowestPort || q.from.Addr().IsMulticast() || q.from.Addr().IsUnspecified() {
				t.Errorf("from %v", q.from)
			}
		}
		if a, err := parseAnswer(b); err == nil {
			if back := a.append(nil); !bytes.Equal(back, b) {
				t.Errorf("%x came back as %x", b, back)
			}
			if a.at.Port() == 0 || a.at.Addr().IsMulticast() || a.at.Addr().IsUnspecified() {
				t.Errorf("at %v", a.at)
			}
		}
	})
}
