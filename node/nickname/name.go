package nickname

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/sallyport-net/sallyport/address"
)

const (
	maxLabel  = 32
	hashChars = 10
	// maxSuffix keeps the suffixes of registered names apart from hashes.
	minSuffix, maxSuffix = 2, hashChars - 1
	alphabet             = "abcdefghijklmnopqrstuvwxyz234567"
)

// Name is a nickname in its canonical form: a label of 1 to 32 characters out
// of a to z, 0 to 9 and inner single hyphens, a dot, and a suffix of 2 to 9
// letters and digits, or ten characters of base32. Names are comparable. The
// zero Name is none.
type Name struct{ label, suffix string }

// NameError says why a text is no name. Its message quotes what came in, so
// that no control character gets to a terminal.
type NameError struct {
	Input string // shortened
	Want  string
}

func (e *NameError) Error() string { return fmt.Sprintf("name %q: %s", e.Input, e.Want) }

func nameError(s, format string, args ...any) error {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return &NameError{s, fmt.Sprintf(format, args...)}
}

// LooksLikeName reports whether s is meant as a name rather than as an address:
// it has a dot and nothing that an address with a dot in it has as well.
func LooksLikeName(s string) bool {
	return strings.Contains(s, ".") && !strings.ContainsAny(s, "[],:/%")
}

// ParseName reads a name. Capital letters are taken for small ones; anything
// else that is not in the grammar is a *NameError.
func ParseName(s string) (Name, error) {
	if len(s) > maxLabel+1+hashChars && strings.Count(s, ".") == 1 || len(s) > 4*(maxLabel+1+hashChars) {
		return Name{}, nameError(s, "expected at most %d characters before the dot and %d after it", maxLabel, hashChars)
	}
	if err := plainASCII(s); err != nil {
		return Name{}, err
	}
	label, suffix, dot := strings.Cut(strings.ToLower(s), ".")
	switch {
	case !dot:
		return Name{}, nameError(s, "expected a dot and a suffix, as in alice.peer")
	case strings.Contains(suffix, "."):
		return Name{}, nameError(s, "expected one dot only")
	}
	if want := labelWant(label); want != "" {
		return Name{}, nameError(s, "%s", want)
	}
	if len(suffix) == hashChars {
		if strings.Trim(suffix, alphabet) != "" {
			return Name{}, nameError(s, "expected a to z and 2 to 7 in the %d characters after the dot, which are a key's hash", hashChars)
		}
		return Name{label, suffix}, nil
	}
	if len(suffix) < minSuffix || len(suffix) > maxSuffix || strings.Trim(suffix, alphabet+"0189") != "" || suffix[0] < 'a' {
		return Name{}, nameError(s, "expected a suffix of %d to %d letters and digits, or the %d characters of a key's hash, after the dot", minSuffix, maxSuffix, hashChars)
	}
	return Name{label, suffix}, nil
}

// ParseLabel reads a name's first part alone, and gives it canonical.
func ParseLabel(s string) (string, error) {
	if len(s) > 4*maxLabel {
		return "", nameError(s, "expected at most %d characters", maxLabel)
	}
	if err := plainASCII(s); err != nil {
		return "", err
	}
	label := strings.ToLower(s)
	if want := labelWant(label); want != "" {
		return "", nameError(s, "%s", want)
	}
	return label, nil
}

// plainASCII refuses what only looks like a name, and says what it is.
func plainASCII(s string) error {
	latin := false
	for _, r := range s {
		latin = latin || r < utf8.RuneSelf && unicode.IsLetter(r)
	}
	for n, r := range s {
		switch {
		case r == utf8.RuneError:
			return nameError(s, "expected text, but byte %d is not", n)
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return nameError(s, "holds the control or invisible character %U", r)
		case unicode.IsSpace(r):
			return nameError(s, "holds white space")
		case r >= utf8.RuneSelf && latin && unicode.IsLetter(r):
			return nameError(s, "mixes scripts: %q (%U, %s) only looks like a Latin letter, or is none; expected a to z, 0 to 9 and -", r, r, script(r))
		case r >= utf8.RuneSelf:
			return nameError(s, "holds %q (%U); names are of a to z, 0 to 9 and -, so that no two look alike", r, r)
		}
	}
	return nil
}

// script names the writing system of a letter.
func script(r rune) string {
	for _, name := range []string{"Latin", "Cyrillic", "Greek", "Armenian", "Hebrew", "Arabic", "Cherokee", "Han", "Hiragana", "Katakana", "Hangul", "Devanagari", "Thai"} {
		if unicode.Is(unicode.Scripts[name], r) {
			return name
		}
	}
	return "of another script"
}

func labelWant(label string) string {
	switch {
	case label == "":
		return "expected a name before the dot"
	case len(label) > maxLabel:
		return fmt.Sprintf("expected at most %d characters before the dot, not %d", maxLabel, len(label))
	case strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		return "expected a to z, 0 to 9 and - only"
	case label[0] == '-', label[len(label)-1] == '-', strings.Contains(label, "--"):
		return "expected hyphens only one at a time, between letters or digits"
	}
	return ""
}

// Certified gives the self-certifying name of a key. It takes some 15 ms.
func Certified(label string, key address.Key) (Name, error) {
	label, err := ParseLabel(label)
	if err != nil {
		return Name{}, err
	}
	if key.IsZero() {
		return Name{}, fmt.Errorf("name %q: a key is needed", label)
	}
	return Name{label, keyHash(label, key)}, nil
}

// String gives what ParseName reads; "" for none.
func (n Name) String() string {
	if n.IsZero() {
		return ""
	}
	return n.label + "." + n.suffix
}

// IsZero reports whether n is no name.
func (n Name) IsZero() bool { return n == Name{} }

// Label is what stands before the dot.
func (n Name) Label() string { return n.label }

// Suffix is what stands after it.
func (n Name) Suffix() string { return n.suffix }

// SelfCertifying reports whether the name itself says whose it is.
func (n Name) SelfCertifying() bool { return len(n.suffix) == hashChars }

// MarshalText gives what String gives.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads what ParseName reads.
func (n *Name) UnmarshalText(b []byte) error {
	v, err := ParseName(string(b))
	if err == nil {
		*n = v
	}
	return err
}

// Admits reports whether the name may belong to key: a registered one to any,
// a self-certifying one to that of its hash.
func (n Name) Admits(key address.Key) bool {
	return !n.SelfCertifying() || keyHash(n.label, key) == n.suffix
}

// Topic is where a self-certifying name's record is kept on a broker.
func (n Name) Topic() string {
	h := sha256.Sum256([]byte("sallyport name topic 1\x00" + n.String()))
	return TopicPrefix + hex.EncodeToString(h[:16])
}

// TopicPrefix begins every Topic.
const TopicPrefix = "sallyport/1/name-"

// Looks gives the same text for two names that a person may take for one
// another: 0 and o, 1 and i and l, 5 and s, 2 and z, 8 and b, rn and m, vv and w,
// and whatever only hyphens tell apart.
func (n Name) Looks() string {
	return lookalikes.Replace(n.label) + "." + n.suffix
}

var lookalikes = strings.NewReplacer("-", "", "0", "o", "1", "l", "i", "l", "5", "s", "2", "z", "8", "b", "rn", "m", "vv", "w")

// keyHash is slow on purpose, and remembers its last results.
func keyHash(label string, key address.Key) string {
	of := hashed{label, key}
	hashes.Lock()
	known, ok := hashes.m[of]
	hashes.Unlock()
	if ok {
		return known
	}
	salt := sha256.Sum256([]byte("sallyport name key 1\x00" + label))
	sum := argon2.IDKey(key.Bytes(), salt[:], 1, 16<<10, 1, 8)
	text := base32.NewEncoding(alphabet).WithPadding(base32.NoPadding).EncodeToString(sum)[:hashChars]
	hashes.Lock()
	defer hashes.Unlock()
	if len(hashes.m) >= 256 {
		clear(hashes.m)
	}
	hashes.m[of] = text
	return text
}

type hashed struct {
	label string
	key   address.Key
}

var hashes = struct {
	sync.Mutex
	m map[hashed]string
}{m: make(map[hashed]string)}
