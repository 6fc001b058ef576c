package nickname

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"github.com/sallyport-net/sallyport/address"
)

func TestParseName(t *testing.T) {
	for in, want := range map[string]string{
		"alice.peer":                      "alice.peer",
		"Alice.PEER":                      "alice.peer",
		"a.io":                            "a.io",
		"a-b-9.p2p":                       "a-b-9.p2p",
		"alice.abcdefg234":                "alice.abcdefg234",
		strings.Repeat("a", 32) + ".node": strings.Repeat("a", 32) + ".node",
	} {
		n, err := ParseName(in)
		if err != nil || n.String() != want {
			t.Errorf("%q: %q, %v", in, n, err)
		}
		if n.SelfCertifying() != (len(n.Suffix()) == 10) {
			t.Errorf("%q: of the wrong kind", in)
		}
	}
	for in, want := range map[string]string{
		"":                                  "expected a dot",
		"alice":                             "expected a dot",
		".peer":                             "before the dot",
		"alice.":                            "suffix",
		"alice.p":                           "suffix",
		"alice.1p":                          "suffix",
		"alice.peer.":                       "one dot only",
		"a.b.peer":                          "one dot only",
		"-alice.peer":                       "hyphens",
		"al--ice.peer":                      "hyphens",
		"alice-.peer":                       "hyphens",
		"al ice.peer":                       "white space",
		"alice.peer\n":                      "control or invisible character U+000A",
		"al\x1b[31mice.peer":                "control or invisible character U+001B",
		"al\u202eice.peer":                  "control or invisible character U+202E",
		"al\u200bice.peer":                  "control or invisible character U+200B",
		"\u0430lice.peer":                   "mixes scripts",        // Cyrillic а
		"ali\u03bfe.peer":                   "mixes scripts",        // Greek omicron
		"ali\uff43e.peer":                   "mixes scripts",        // full-width c
		"алиса":                             "names are of a to z",  // one script
		"al\xffice.peer":                    "is not",               // no UTF-8
		"al_ice.peer":                       "a to z, 0 to 9 and -", //
		"alice.abcdefg018":                  "2 to 7",               // as long as a hash, and none
		"alice.elevenchars":                 "suffix",
		strings.Repeat("a", 33) + ".peer":   "at most 32",
		strings.Repeat("a", 5000) + ".peer": "at most",
	} {
		n, err := ParseName(in)
		var bad *NameError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, %v; want an error with %q", in, n, err, want)
			continue
		}
		if strings.IndexFunc(err.Error(), func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) >= 0 {
			t.Errorf("%.40q: the error repeats a control character: %q", in, err)
		}
		if len(err.Error()) > 400 {
			t.Errorf("%.40q: an error of %d bytes", in, len(err.Error()))
		}
	}
}

// What is a name is no address, so that a TARGET can be either.
func TestNamesAreNoAddresses(t *testing.T) {
	a := address.Address{Key: alice.Public(), Brokers: []address.Broker{{URL: "tcp://broker.example.org:1883"}}}
	compact, err := a.Compact()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{a.String(), compact, alice.Public().String(), "0,1-[1,0,8.8.8.8,192.168.21.21,58959,3,2,0]-0-zmUGXPOFxUBuToh-easdasd"} {
		if _, err := address.Parse(s); err != nil {
			t.Fatal(err)
		}
		if LooksLikeName(s) {
			t.Errorf("%q is taken for a name", s)
		}
	}
	if !LooksLikeName("alice.peer") || !LooksLikeName("\u0430lice.peer") {
		t.Error("a name is not taken for one")
	}
}

// The vector of docs/nicknames.md.
func TestCertified(t *testing.T) {
	n, err := Certified("Alice", alice.Public())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := n.String(), "alice.6eh7u2ygqq"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if !n.Admits(alice.Public()) || n.Admits(mallory.Public()) {
		t.Error("the name admits the wrong key")
	}
	if other, _ := Certified("bob", alice.Public()); other.Suffix() == n.Suffix() {
		t.Error("the hash does not depend on the label, so that one search would serve for all names")
	}
	if got, want := n.Topic(), "sallyport/1/name-"; !strings.HasPrefix(got, want) || len(got) != len(want)+32 {
		t.Errorf("topic %q", got)
	}
	if _, err := Certified("alice", address.Key{}); err == nil {
		t.Error("nobody's name")
	}
	if _, err := Certified("al ice", alice.Public()); err == nil {
		t.Error("a bad label was taken")
	}
}

func TestLooks(t *testing.T) {
	for _, pair := range [][2]string{{"alice", "a1ice"}, {"google", "g00gle"}, {"modern", "rnodern"}, {"al-ice", "alice"}, {"will", "vvi11"}} {
		if a, b := name(t, pair[0]+".peer"), name(t, pair[1]+".peer"); a.Looks() != b.Looks() {
			t.Errorf("%s and %s look different: %s, %s", a, b, a.Looks(), b.Looks())
		}
	}
	if name(t, "alice.peer").Looks() == name(t, "alice.node").Looks() || name(t, "alice.peer").Looks() == name(t, "bob.peer").Looks() {
		t.Error("different names look alike")
	}
}

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"alice.peer", "alice.abcdefg234", "\u0430lice.peer", "a\x00.b", "x.y.z", strings.Repeat("-", 90)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseName(s)
		if err != nil {
			if len(err.Error()) > 600 || !n.IsZero() {
				t.Fatalf("%d bytes of error, name %q", len(err.Error()), n)
			}
			return
		}
		again, err := ParseName(n.String())
		if err != nil || again != n || len(n.String()) > 43 || !LooksLikeName(n.String()) {
			t.Fatalf("%q gives %q, which gives %q, %v", s, n, again, err)
		}
		if _, err := address.Parse(n.String()); err == nil {
			t.Fatalf("%q is an address as well", n)
		}
	})
}
