package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/address"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

// vector is one case of testdata/vectors.json. All bytes are in hex.
type vector struct {
	Name      string `json:"name"`
	Recipient string `json:"recipient"`           // private key, 32 bytes
	Sender    string `json:"sender,omitempty"`    // private key, 32 bytes
	Ephemeral string `json:"ephemeral,omitempty"` // private key, 32 bytes
	Body      string `json:"body,omitempty"`      // text
	Shared    string `json:"shared,omitempty"`    // x
	Key       string `json:"key,omitempty"`       // of XChaCha20-Poly1305
	Nonce     string `json:"nonce,omitempty"`
	Hash      string `json:"hash,omitempty"` // what the sender signs
	Sealed    string `json:"sealed"`         // the payload
	// Error is what Open must give: "" for none, else format, unsealed,
	// content or signature.
	Error string `json:"error,omitempty"`
}

var failures = map[string]error{
	"": nil, "format": ErrFormat, "unsealed": ErrUnsealed, "content": ErrContent, "signature": ErrSignature,
}

func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	vectors := readVectors(t)
	if len(vectors) < 10 {
		t.Fatalf("%d vectors, the file should hold more", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			sealed := unhex(t, v.Sealed)
			from, body, err := Open(private(t, v.Recipient), sealed)
			want, known := failures[v.Error]
			if !known {
				t.Fatalf("the vector expects an unknown error %q", v.Error)
			}
			if !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Fatalf("Open gives error %v, want %v", err, want)
			}
			if want != nil {
				return
			}
			if sender := private(t, v.Sender).Public(); from != sender {
				t.Errorf("sender %v, want %v", from, sender)
			}
			if string(body) != v.Body {
				t.Errorf("body %q, want %q", body, v.Body)
			}
			shared, key, nonce, hash := steps(t, v)
			if v.Shared != shared || v.Key != key || v.Nonce != nonce || v.Hash != hash {
				t.Errorf("the steps are %s, %s, %s, %s", shared, key, nonce, hash)
			}
			again, err := sealWith(private(t, v.Ephemeral), private(t, v.Sender), private(t, v.Recipient).Public(), []byte(v.Body))
			if err != nil || !bytes.Equal(again, sealed) {
				t.Errorf("sealed again: error %v, same bytes %t", err, bytes.Equal(again, sealed))
			}
		})
	}
}

// TestSpecification holds docs/signaling.md to the vectors: the first payload
// stands there in full, and of each other one its name and hash.
func TestSpecification(t *testing.T) {
	text, err := os.ReadFile("../../docs/signaling.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := strings.Join(strings.Fields(string(text)), "")
	for n, v := range readVectors(t) {
		sum := sha256.Sum256(unhex(t, v.Sealed))
		want := fmt.Sprintf("|%s|%s|`%x`|", v.Name, expectation(v), sum[:8])
		if !strings.Contains(doc, strings.ReplaceAll(want, " ", "")) {
			t.Errorf("docs/signaling.md lacks the row %q", want)
		}
		if n > 0 {
			continue
		}
		for _, part := range []string{
			v.Recipient, v.Sender, v.Ephemeral, v.Body, v.Shared, v.Key, v.Nonce, v.Hash, v.Sealed,
		} {
			if !strings.Contains(doc, strings.Join(strings.Fields(part), "")) {
				t.Errorf("docs/signaling.md lacks %.40q of vector %q", part, v.Name)
			}
		}
	}
}

func expectation(v vector) string {
	if v.Error == "" {
		return "opens"
	}
	return v.Error
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	return vectors
}

func writeVectors(t *testing.T) {
	key := func(label string) address.PrivateKey {
		sum := sha256.Sum256([]byte("sallyport test " + label))
		return private(t, hex.EncodeToString(sum[:]))
	}
	sender, recipient, other := key("sender"), key("recipient"), key("other")
	e := key("ephemeral")
	short := `{"kind":"GET_ADDR","id":"000102030405060708090a0b0c0d0e0f"}`
	seal := func(e, s address.PrivateKey, r address.Key, body string) []byte {
		sealed, err := sealWith(e, s, r, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	good := seal(e, sender, recipient.Public(), short)
	var vectors []vector
	add := func(name string, to address.PrivateKey, sealed []byte, failure string) *vector {
		vectors = append(vectors, vector{
			Name: name, Recipient: hex.EncodeToString(to.Bytes()), Sealed: hex.EncodeToString(sealed), Error: failure,
		})
		return &vectors[len(vectors)-1]
	}
	accept := func(name, label, body string) {
		e := key(label)
		v := add(name, recipient, seal(e, sender, recipient.Public(), body), "")
		v.Sender, v.Ephemeral, v.Body = hex.EncodeToString(sender.Bytes()), hex.EncodeToString(e.Bytes()), body
		v.Shared, v.Key, v.Nonce, v.Hash = steps(t, *v)
	}
	flip := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 1
		return b
	}
	plain := func(change func([]byte) []byte) []byte {
		return resealed(t, e, sender, recipient.Public(), short, change)
	}

	accept("a short body", "ephemeral", short)
	accept("an empty body", "ephemeral 2", "")
	accept("the second bucket", "ephemeral 3", strings.Repeat("0123456789abcdef", 64))
	add("sealed for another", other, good, "unsealed")
	add("a bit of the ciphertext flipped", recipient, flip(500), "unsealed")
	add("a bit of the tag flipped", recipient, flip(1023), "unsealed")
	add("a bit of the version flipped", recipient, flip(0), "format")
	add("the other half of the curve", recipient, flip(1), "unsealed")
	add("truncated by a byte", recipient, good[:1023], "format")
	add("truncated to nothing", recipient, nil, "format")
	add("longer by a byte", recipient, append(bytes.Clone(good), 0), "format")
	offCurve := bytes.Clone(good)
	copy(offCurve[2:], bytes.Repeat([]byte{0xff}, 32))
	add("an ephemeral key off the curve", recipient, offCurve, "format")
	add("another sender claimed", recipient, plain(func(b []byte) []byte {
		copy(b, other.Public().Bytes())
		return b
	}), "signature")
	add("a body changed after signing", recipient, plain(func(b []byte) []byte {
		at := bytes.Index(b, []byte("GET_ADDR"))
		b[at] = 'S'
		return b
	}), "signature")
	add("signed for another recipient", recipient, plain(func(b []byte) []byte {
		return replaceSignature(b, sender.Sign(signedHash(sender.Public(), other.Public(), e.Public(), []byte(short))))
	}), "signature")
	add("signed under another ephemeral key", recipient, plain(func(b []byte) []byte {
		return replaceSignature(b, sender.Sign(signedHash(sender.Public(), recipient.Public(), other.Public(), []byte(short))))
	}), "signature")
	add("padding that is not zero", recipient, plain(func(b []byte) []byte {
		b[len(b)-1] = 1
		return b
	}), "content")
	add("a body longer than the payload", recipient, plain(func(b []byte) []byte {
		at := address.KeySize + 1 + int(b[address.KeySize])
		b[at], b[at+1] = 0xff, 0xff
		return b
	}), "content")
	add("a signature of no length", recipient, plain(func(b []byte) []byte {
		b[address.KeySize] = 0
		return b
	}), "content")
	add("a sender that is no key", recipient, plain(func(b []byte) []byte {
		b[0] = 4
		return b
	}), "content")

	data, err := json.MarshalIndent(vectors, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("testdata/vectors.json", append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// steps computes what lies between the keys and the payload, in the words of
// the specification and from the recipient's side.
func steps(t testing.TB, v vector) (shared, key, nonce, hash string) {
	t.Helper()
	r, s, e := private(t, v.Recipient), private(t, v.Sender), private(t, v.Ephemeral)
	x, err := r.ECDH(e.Public())
	if err != nil {
		t.Fatal(err)
	}
	both := string(e.Public().Bytes()) + string(r.Public().Bytes())
	okm, err := hkdf.Key(sha256.New, x, nil, "sallyport seal 1"+both, 56)
	if err != nil {
		t.Fatal(err)
	}
	signed := "sallyport signed body 1\x00\x01" + string(s.Public().Bytes()) +
		string(r.Public().Bytes()) + string(e.Public().Bytes()) + v.Body
	sum := sha256.Sum256([]byte(signed))
	h := hex.EncodeToString
	return h(x), h(okm[:32]), h(okm[32:]), h(sum[:])
}

// resealed seals a plaintext that was changed by hand, as only somebody who
// holds the ephemeral key can.
func resealed(t testing.TB, e, s address.PrivateKey, r address.Key, body string, change func([]byte) []byte) []byte {
	t.Helper()
	sealed, err := sealWith(e, s, r, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	aead, nonce, err := derive(e, r, e.Public(), r)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := aead.Open(nil, nonce, sealed[header:], associated(e.Public(), r))
	if err != nil {
		t.Fatal(err)
	}
	return aead.Seal(sealed[:header:header], nonce, change(plain), associated(e.Public(), r))
}

// replaceSignature puts another signature into a plaintext of the same length.
func replaceSignature(plain, signature []byte) []byte {
	n := int(plain[address.KeySize])
	rest := plain[address.KeySize+1+n:]
	out := append(bytes.Clone(plain[:address.KeySize]), byte(len(signature)))
	out = append(append(out, signature...), rest...)
	return append(out, make([]byte, max(0, len(plain)-len(out)))...)[:len(plain)]
}

func private(t testing.TB, s string) address.PrivateKey {
	t.Helper()
	k, err := address.PrivateKeyFromBytes(unhex(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
