package address

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"

	"github.com/mr-tron/base58"
)

func TestParseKey(t *testing.T) {
	k := testKey(1)
	if got, err := ParseKey(k.String()); err != nil || got != k {
		t.Errorf("%v is read as %v, %v", k, got, err)
	}
	if want := "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"; hex.EncodeToString(k.Bytes()) != want {
		t.Errorf("the key of 1 is %x, not %s", k.Bytes(), want)
	}
	point := k.Bytes()
	uncompressed := append([]byte{4}, point[1:]...)
	for name, s := range map[string]string{
		"empty":             "",
		"a lost character":  k.String()[1:],
		"one too many":      k.String() + "1",
		"a leading zero":    "1" + k.String(),
		"no base58":         strings.Replace(k.String(), "j", "0", 1),
		"another first":     base58.Encode(uncompressed),
		"no point":          base58.Encode(append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...)),
		"32 bytes":          base58.Encode(point[1:]),
		"far too long":      strings.Repeat("1", 1_000_000),
		"with white space":  k.String() + " ",
		"a compact address": compactPrefix + k.String(),
	} {
		if got, err := ParseKey(s); err == nil || !got.IsZero() || len(err.Error()) > 200 {
			t.Errorf("%s: read as %v, %v", name, got, err)
		}
	}
}

func TestKeyText(t *testing.T) {
	var k Key
	if err := k.UnmarshalText([]byte(testKey(1).String())); err != nil || k != testKey(1) {
		t.Errorf("read as %v, %v", k, err)
	}
	if err := k.UnmarshalText([]byte("x")); err == nil || k != testKey(1) {
		t.Errorf("a bad text gives %v and leaves %v", err, k)
	}
	if err := k.UnmarshalText(nil); err != nil || !k.IsZero() {
		t.Errorf("an empty text gives %v, %v", k, err)
	}
	if (Key{}).String() != "" || (Key{}).Short() != "" || testKey(1).Short() != "jesTu2Bp" {
		t.Error("names of keys")
	}
}

func TestSignAndVerify(t *testing.T) {
	p, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte("message"))
	sig := p.Sign(hash)
	if !p.Public().Verify(hash, sig) {
		t.Error("a good signature is refused")
	}
	if testKey(1).Verify(hash, sig) || (Key{}).Verify(hash, sig) || p.Public().Verify(hash, sig[:len(sig)-1]) || p.Public().Verify(hash, nil) {
		t.Error("a bad signature is taken")
	}
	hash[0] ^= 1
	if p.Public().Verify(hash, sig) {
		t.Error("a signature of another hash is taken")
	}
}

func TestECDHMeets(t *testing.T) {
	p, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	q, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	a, errA := p.ECDH(q.Public())
	b, errB := q.ECDH(p.Public())
	if errA != nil || errB != nil || !bytes.Equal(a, b) || len(a) != 32 {
		t.Errorf("%x, %v and %x, %v", a, errA, b, errB)
	}
	if _, err := p.ECDH(Key{}); err == nil {
		t.Error("a secret is shared with nobody")
	}
}

func TestZeroPrivateKey(t *testing.T) {
	var p PrivateKey
	if _, err := p.ECDH(testKey(1)); err == nil || !p.IsZero() || p.Bytes() != nil || p.Sign([32]byte{}) != nil {
		t.Error("the zero PrivateKey does something")
	}
	_ = fmt.Sprint(p)
}

func TestPrivateKeyFromBytes(t *testing.T) {
	order, _ := hex.DecodeString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
	for name, b := range map[string][]byte{
		"nil": nil, "short": make([]byte, 31), "long": append(make([]byte, 32), 1), "zero": make([]byte, 32),
		"the order": order, "above": bytes.Repeat([]byte{0xff}, 32),
	} {
		if p, err := PrivateKeyFromBytes(b); err == nil {
			t.Errorf("%s gives %v", name, p)
		}
	}
	order[31]--
	if p, err := PrivateKeyFromBytes(order); err != nil || !bytes.Equal(p.Bytes(), order) {
		t.Errorf("the last scalar gives %v, %v", p, err)
	}
}

// TestPrivateKeyIsNeverPrinted prints it in every way, and looks for the scalar
// in every spelling.
func TestPrivateKeyIsNeverPrinted(t *testing.T) {
	p, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	scalar := p.Bytes()
	spellings := []string{
		hex.EncodeToString(scalar), strings.ToUpper(hex.EncodeToString(scalar)), string(scalar),
		base58.Encode(scalar), base64.StdEncoding.EncodeToString(scalar), new(big.Int).SetBytes(scalar).String(),
		strings.Trim(fmt.Sprint(scalar), "[]"), strings.Trim(fmt.Sprintf("%#v", scalar), "[]byte{}"), fmt.Sprintf("% x", scalar),
	}
	holder := struct {
		Key  PrivateKey
		key  PrivateKey
		Ref  *PrivateKey
		List []PrivateKey
		Any  any
	}{p, p, &p, []PrivateKey{p}, p}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%#x", "%d", "%o", "%b", "%t", "%U", "%T", "%e", "%w", "%p", "%100s", "%.3s", "%!"} {
		for _, v := range []any{p, &p, holder, &holder, []PrivateKey{p}, map[string]PrivateKey{"k": p}} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	fmt.Fprintln(&out, p, &p, holder)
	fmt.Fprintln(&out, fmt.Errorf("wrapped: %w", fmt.Errorf("%v", p)))
	slog.New(slog.NewTextHandler(&out, nil)).Info("text", "key", p, "holder", holder)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "key", p, "holder", holder)
	j, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	for _, s := range spellings {
		if strings.Contains(out.String(), s) {
			t.Errorf("printed as %q", s)
		}
	}
	if want := "private key of " + p.Public().String(); fmt.Sprintf("%x", p) != want {
		t.Errorf("prints as %x, not %s", p, want)
	}
}
