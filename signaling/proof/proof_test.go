package proof_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling/proof"
)

// private is a fixed key, so that the vector below is too: signatures are
// deterministic (RFC 6979).
func private(t testing.TB, last byte) address.PrivateKey {
	t.Helper()
	k, err := address.PrivateKeyFromBytes(append(make([]byte, 31), last))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var challenge = proof.Challenge{31: 1}

func TestPacket(t *testing.T) {
	c := proof.NewChallenge()
	if c == proof.NewChallenge() {
		t.Fatal("the same challenge twice")
	}
	p := c.Packet()
	if len(p) != proof.PacketSize || int(p[1]) != len(p)-2 || string(p[4:19]) != proof.Topic {
		t.Fatalf("packet %x", p)
	}
	if got, ok := proof.ParsePacket(p); !ok || got != c {
		t.Fatalf("read back as %x, %v", got, ok)
	}
	for n := range p {
		if _, ok := proof.ParsePacket(p[:n]); ok {
			t.Errorf("%d bytes of it were read", n)
		}
	}
	if _, ok := proof.ParsePacket(append(p, 0)); ok {
		t.Error("a longer one was read")
	}
}

func TestCheck(t *testing.T) {
	k := private(t, 1)
	for _, host := range []string{"broker.example.org", "192.0.2.1", "2001:db8::1", strings.Repeat("a", 255)} {
		key, got, err := proof.Check(challenge, proof.Make(challenge, k.Public(), k.Sign, host))
		if err != nil || key != k.Public() || got != host {
			t.Errorf("%q: %v, %q, %v", host, key, got, err)
		}
	}
}

func TestHost(t *testing.T) {
	for in, want := range map[string]string{
		"Broker.Example.ORG.": "broker.example.org", "2001:DB8:0::1": "2001:db8::1", "::ffff:192.0.2.1": "192.0.2.1",
		"fe80::1%eth0": "fe80::1", "localhost": "localhost",
	} {
		if got := proof.Host(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// One proof is good for one key, one challenge and one host.
func TestWhatIsRefused(t *testing.T) {
	k, other := private(t, 1), private(t, 2)
	good := proof.Make(challenge, k.Public(), k.Sign, "a.example")
	for name, p := range map[string][]byte{
		"nothing":           nil,
		"other version":     append([]byte{2}, good[1:]...),
		"another's key":     append(append([]byte{1}, other.Public().Bytes()...), good[34:]...),
		"no key":            append(append([]byte{1}, make([]byte, 33)...), good[34:]...),
		"another host":      append(bytes.Clone(good[:len(good)-1]), 'f'),
		"longer host":       append(bytes.Clone(good), 'x'),
		"no host":           good[:len(good)-len("a.example")],
		"host in capitals":  append(bytes.Clone(good[:len(good)-9]), "A.EXAMPLE"...),
		"signed by another": proof.Make(challenge, k.Public(), other.Sign, "a.example"),
		"signed nothing":    proof.Make(challenge, k.Public(), func([32]byte) []byte { return nil }, "a.example"),
		"long host":         proof.Make(challenge, k.Public(), k.Sign, strings.Repeat("a", 256)),
		"another challenge": proof.Make(proof.Challenge{}, k.Public(), k.Sign, "a.example"),
	} {
		if key, host, err := proof.Check(challenge, p); err == nil || !key.IsZero() || host != "" {
			t.Errorf("%s: %v, %q, %v", name, key, host, err)
		}
	}
	if _, _, err := proof.Check(challenge, good); err != nil {
		t.Error(err)
	}
}

// The vector of docs/signaling.md.
func TestVector(t *testing.T) {
	k := private(t, 1)
	const want = "01" +
		"0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798" +
		"46" +
		"304402207d6e2b80ca482880450cfff4752a9dcb29204eefb166ae107820eb299aa481f7022015374c3d0370bb9deb7fcf5320677a9767ca14c244d66b44045dcd84d18f5775" +
		"62726f6b65722e6578616d706c652e6f7267"
	if got := hex.EncodeToString(proof.Make(challenge, k.Public(), k.Sign, "broker.example.org")); got != want {
		t.Errorf("proof %s", got)
	}
}

func FuzzCheck(f *testing.F) {
	k := private(f, 1)
	good := proof.Make(challenge, k.Public(), k.Sign, "a.example")
	for _, p := range [][]byte{good, good[:35], good[:len(good)-9], nil, {1}} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		_, _ = proof.ParsePacket(p)
		// Nobody forges: what passes is the one thing that was signed. (ECDSA
		// lets anybody turn a signature into its twin, so that the bytes of
		// the signature may differ.)
		key, host, err := proof.Check(challenge, p)
		if err == nil && (key != k.Public() || host != "a.example") {
			t.Fatalf("%x proves %v at %q", p, key, host)
		}
	})
}
