package nickname

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/address"
)

func TestParseRegistry(t *testing.T) {
	id := alice.Public().String()
	for in, want := range map[string]string{
		"http://127.0.0.1:3481#" + id:      "http://127.0.0.1:3481#" + id,
		"https://Names.example.org/#" + id: "https://names.example.org#" + id,
		"http://[2001:db8::1]:3481#" + id:  "http://[2001:db8::1]:3481#" + id,
	} {
		if r, err := ParseRegistry(in); err != nil || r.String() != want {
			t.Errorf("%q: %q, %v", in, r, err)
		}
	}
	for _, in := range []string{
		"", "127.0.0.1:3481", "http://127.0.0.1:3481", "http://127.0.0.1:3481#x", "ftp://127.0.0.1#" + id,
		"http://user:pass@127.0.0.1#" + id, "http://127.0.0.1/path#" + id, "http://127.0.0.1?q#" + id, "http://#" + id,
		"http://" + strings.Repeat("a", 300) + "#" + id, "http://a b#" + id,
	} {
		if r, err := ParseRegistry(in); err == nil {
			t.Errorf("%q: taken as %v", in, r)
		}
	}
}

func FuzzRegistry(f *testing.F) {
	f.Add("http://127.0.0.1:3481#" + alice.Public().String())
	f.Add("https://x#y")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRegistry(s)
		if err != nil {
			return
		}
		if again, err := ParseRegistry(r.String()); err != nil || again != r {
			t.Fatalf("%q gives %q, which gives %q, %v", s, r, again, err)
		}
	})
}

func FuzzMessages(f *testing.F) {
	n, err := ParseName("alice.peer")
	if err != nil {
		f.Fatal(err)
	}
	r := signed(f, alice, n, 7, noon)
	q := NewRequest(n, r.Bytes())
	asked, err := json.Marshal(q)
	if err != nil {
		f.Fatal(err)
	}
	answered, sig, err := Reply{Nonce: q.Nonce, Name: q.Name, Status: Found, Record: r.Bytes(), Time: noon.Unix()}.Seal(mallory)
	if err != nil {
		f.Fatal(err)
	}
	if _, got, err := OpenReply(mallory.Public(), q, noon, answered, sig); err != nil || got.Sequence != 7 {
		f.Fatalf("the seed is no good: %v", err)
	}
	f.Add(asked, sig)
	f.Add(answered, sig)
	f.Add([]byte("{}"), "")
	f.Fuzz(func(t *testing.T, b []byte, signature string) {
		if q, n, r, err := DecodeRequest(b); err == nil && (n.SelfCertifying() || len(q.Record) > 0 && (r.Name != n || r.Key.IsZero())) {
			t.Fatalf("%+v", r)
		}
		if _, r, err := OpenReply(mallory.Public(), q, noon, b, signature); err == nil && r.Key != (address.Key{}) && r.Name != n {
			t.Fatalf("%+v", r)
		}
		// Signed by the registry, whatever it is.
		_, _, _ = OpenReply(mallory.Public(), q, noon, b, sealed(b))
	})
}

// sealed signs any body as a registry's.
func sealed(b []byte) string {
	return base64.StdEncoding.EncodeToString(mallory.Sign(replyHash(b)))
}

// The hash of a self-certifying name fills 16 MiB of memory: a registry, which
// keeps no such names, must not be made to compute it, least of all for
// hundreds of strangers at once.
func TestRequestCostsNoSlowHash(t *testing.T) {
	other := Name{"costly", "abcdefg234"} // nobody's
	r := Record{Name: other, Key: mallory.Public(), Sequence: 1, Issued: noon, Expires: noon.Add(Lasts), Address: of(mallory)}
	b, err := r.body()
	if err != nil {
		t.Fatal(err)
	}
	sig := mallory.Sign(recordHash(b))
	registered, err := ParseName("alice.peer")
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(NewRequest(registered, append(append(b, byte(len(sig))), sig...)))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := DecodeRequest(body); err == nil {
		t.Error("the record of another name was taken")
	}
	hashes.Lock()
	defer hashes.Unlock()
	if _, computed := hashes.m[hashed{other.label, mallory.Public()}]; computed {
		t.Error("the slow hash was computed for a registered name")
	}
}
