package link

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// heard is a connection on which only these bytes come.
type heard struct {
	net.Conn
	r io.Reader
}

func (h heard) Read(p []byte) (int, error) { return h.r.Read(p) }

// What strangers send first, to who accepts and to who has dialled: nothing of it is
// lost but a token, and no other token opens anything.
func FuzzFirstBytes(f *testing.F) {
	want := NewToken([16]byte{1}, [16]byte{2}, newKey(f).Public(), newKey(f).Public())
	hello := []byte{recordHandshake, 3, 1, 0, 2, 1, 0}
	seeds := [][]byte{want[:], append(want[:], hello...), hello, {recordAlert, 3, 3, 0, 2, 2, 40}, want[:9], append([]byte{0xff}, want[1:]...), {}, []byte("GET /")}
	for _, s := range seeds {
		f.Add(s)
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, token, ok, err := Sniff(heard{r: bytes.NewReader(b)})
		if err == nil {
			rest, _ := io.ReadAll(c)
			if ok {
				rest = append(token[:], rest...)
			}
			if !bytes.Equal(rest, b) || ok != (b[0]&0x80 != 0) {
				t.Errorf("%x became a token %v and %x", b, ok, rest)
			}
		} else if len(b) >= TokenSize && (b[0]&0x80 != 0 || b[0] == recordHandshake) {
			t.Errorf("%x: %v", b, err)
		}
		got, err := io.ReadAll(&expecting{Conn: heard{r: bytes.NewReader(b)}, want: want})
		left, trusted := bytes.CutPrefix(b, want[:])
		switch record := len(b) > 0 && (b[0] == recordHandshake || b[0] == recordAlert); {
		case record && (err != nil || !bytes.Equal(got, b)), trusted && (err != nil || !bytes.Equal(got, left)):
			t.Errorf("of %x %x is left, %v", b, got, err)
		case !record && !trusted && len(got) > 0:
			t.Errorf("%x is let through by %x", got, b)
		}
	})
}

// Nobody's certificate names another's key: whatever stands in the extension, what
// passes is what the node has signed.
func FuzzCertificate(f *testing.F) {
	key, now := newKey(f), time.Now()
	pub, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	who := key.Public()
	head := append(who.Bytes(), binary.BigEndian.AppendUint64(nil, uint64(now.Add(time.Hour).Unix()))...)
	good := append(head[:len(head):len(head)], key.Sign(statement(head, pub))...)
	old := binary.BigEndian.AppendUint64(who.Bytes(), uint64(now.Add(-time.Hour).Unix()))
	seeds := [][]byte{good, good[:len(good)-1], append(good[:len(good):len(good)], 0), append(old, key.Sign(statement(old, pub))...), {}, make([]byte, address.KeySize+8+72)}
	for _, s := range seeds {
		f.Add(s)
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	named := func(value []byte) (address.Key, error) {
		c := &x509.Certificate{PublicKey: pub, Extensions: []pkix.Extension{{Id: extensionID, Value: value}}}
		return certified([]*x509.Certificate{c}, now)
	}
	if got, err := named(good); err != nil || got != who {
		f.Fatalf("the good one: %v, %v", got, err)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		got, err := named(value)
		// ECDSA lets anybody turn a signature into its twin.
		if err == nil && (got != who || !bytes.HasPrefix(value, head)) {
			t.Errorf("%x names %v", value, got)
		}
		if err != nil && got != (address.Key{}) {
			t.Errorf("%x is refused, and names %v", value, got)
		}
	})
}
