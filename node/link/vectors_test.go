package link

import (
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// scalar is the private key of a small number.
func scalar(t *testing.T, n byte) address.PrivateKey {
	t.Helper()
	k, err := address.PrivateKeyFromBytes(append(make([]byte, 31), n))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// wrapped is b in hex, as docs/link.md has it: 96 digits a line.
func wrapped(b []byte) string {
	text := hex.EncodeToString(b)
	var lines []string
	for len(text) > 96 {
		lines, text = append(lines, text[:96]), text[96:]
	}
	return strings.Join(append(lines, text), "\n")
}

// docs/link.md has the vectors and the numbers of the code.
func TestSpecification(t *testing.T) {
	text, err := os.ReadFile("../../docs/link.md")
	if err != nil {
		t.Fatal(err)
	}
	one, two := scalar(t, 1), scalar(t, 2)
	token := NewToken([16]byte{0: 1}, [16]byte{0: 2}, one.Public(), two.Public())
	pub := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	expiry := time.Unix(1_800_000_000, 0)
	value := claim(one, expiry, pub)
	for what, want := range map[string]string{
		"token":         wrapped(token[:]),
		"ed25519 key":   wrapped(pub),
		"extension":     wrapped(value),
		"its number":    extensionID.String(),
		"protocol":      fmt.Sprintf("`%s`", Protocol),
		"lifetime":      fmt.Sprintf("%.0f hours", lifetime.Hours()),
		"clocks":        fmt.Sprintf("%.0f minutes", clockError.Minutes()),
		"nomination":    fmt.Sprintf("version (1, is %d)", nominationVersion),
		"purposes":      fmt.Sprintf("%d begins a session, %d goes on with one", Session, Resume),
		"verdicts":      fmt.Sprintf("%d admitted, %d refused, %d lost, %d busy", admitted, refused, lost, busy),
		"length of one": fmt.Sprintf("writes %d bytes", TokenSize),
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s: the page lacks\n%s", what, want)
		}
	}

	// What the page shows is what a reader takes.
	cert := &x509.Certificate{PublicKey: pub, Extensions: []pkix.Extension{{Id: extensionID, Value: value}}}
	who, err := certified([]*x509.Certificate{cert}, expiry.Add(-time.Hour))
	if err != nil || who != one.Public() {
		t.Errorf("the extension is read as %v: %v", who, err)
	}
}
