package code

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gtank/ristretto255"
	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/address"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The vectors of draft-irtf-cfrg-cpace-21, B.3.
func TestCPaceVectors(t *testing.T) {
	password := []byte("Password")
	ci := unhex(t, "0b415f696e69746961746f720b425f726573706f6e646572")
	sid := unhex(t, "7e4b4791d6a8ef019b936c79fb7f2c57")
	if got := generatorString(password, ci, sid); len(got) != 170 || !bytes.HasPrefix(got, unhex(t, "11435061636552697374726574746f3235350850617373776f7264640000")) ||
		!bytes.HasSuffix(got, unhex(t, "000000180b415f696e69746961746f720b425f726573706f6e646572107e4b4791d6a8ef019b936c79fb7f2c57")) {
		t.Errorf("generator string %x", got)
	}
	side := func(scalar string) *cpace {
		s := ristretto255.NewScalar()
		if err := s.Decode(unhex(t, scalar)); err != nil {
			t.Fatal(err)
		}
		return cpaceWith(password, ci, sid, s)
	}
	a := side("da3d23700a9e5699258aef94dc060dfda5ebb61f02a5ea77fad53f4ff0976d08")
	b := side("d2316b454718c35362d83d69df6320f38578ed5984651435e2949762d900b80d")
	if got := hex.EncodeToString(a.share); got != "d6bac480f2c386c394efc7c47adb9925dcd2630b64f240c50f8d0eec482b9157" {
		t.Errorf("Ya %s", got)
	}
	if got := hex.EncodeToString(b.share); got != "3ea7e0b19560d7c0b0f5734f63b955286dfa8232b5ebe63324e2d9e7433f7258" {
		t.Errorf("Yb %s", got)
	}
	const want = "b69effbf61b51d56401c0f65601abe428de8206feaaf0e32198896dcae7b35cd2b38950a39dfd5d4a79164614c2984f7daa460b588c1e80c3fa2068af7900447"
	for _, s := range []struct {
		side   *cpace
		theirs []byte
	}{{a, b.share}, {b, a.share}} {
		isk, err := s.side.key(s.theirs, a.share, []byte("ADa"), b.share, []byte("ADb"))
		if err != nil || hex.EncodeToString(isk) != want {
			t.Errorf("ISK %x, %v", isk, err)
		}
	}
	// The neutral element, and what is no point (section 8.3.1).
	for _, bad := range [][]byte{make([]byte, 32), bytes.Repeat([]byte{0xff}, 32), a.share[:31], nil} {
		if _, err := a.key(bad, a.share, nil, bad, nil); err == nil {
			t.Errorf("%x was taken", bad)
		}
	}
}

func TestWords(t *testing.T) {
	if len(words) != 1296 || !slices.IsSorted(words) {
		t.Fatalf("%d words", len(words))
	}
	for n, w := range words {
		if len(w) < prefix || strings.Trim(w, "abcdefghijklmnopqrstuvwxyz") != "" || n > 0 && words[n-1][:prefix] == w[:prefix] {
			t.Errorf("%q, after %q", w, words[max(n-1, 0)])
		}
	}
}

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"4821-zebra-acrobat":   "4821-zebra-acrobat",
		" 4821 Zebra ACROBAT ": "4821-zebra-acrobat",
		"1-zeb-acr":            "1-zebra-acrobat",
		"9999-yoyo-aardv":      "9999-yoyo-aardvark",
	} {
		if c, err := Parse(in); err != nil || c.String() != want {
			t.Errorf("%q: %q, %v", in, c, err)
		}
	}
	for in, want := range map[string]string{
		"4821-zebar-acrobat":          `"zebar" is not a code word. Did you mean "zebra"?`,
		"4821-zebra-acrobta":          `Did you mean "acrobat"?`,
		"4821-zebra-acrobats":         `Did you mean "acrobat"?`,
		"4821-ze-acrobat":             `"ze" is not a code word`,
		"4821-qqqqqq-acrobat":         `"qqqqqq" is not a code word`,
		"4821-zebra":                  "a number and 2 words",
		"4821-zebra-acrobat-zebra":    "a number and 2 words",
		"":                            "a number and 2 words",
		"0-zebra-acrobat":             "not the number",
		"04821-zebra-acrobat":         "not the number",
		"10000-zebra-acrobat":         "not the number",
		"zebra-4821-acrobat":          "not the number",
		"1-z\x1bbra-acrobat":          `"z\x1bbra" is not`,
		"1-z\u0435bra-acrobat":        "is not a code word", // Cyrillic е
		strings.Repeat("zebra-", 100): "at most 100",
	} {
		_, err := Parse(in)
		var bad *ParseError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v; want %q", in, err, want)
		}
	}
	seen := map[string]bool{}
	for range 100 {
		c := New()
		if again, err := Parse(c.String()); err != nil || again != c {
			t.Fatalf("%q: %v", c, err)
		}
		seen[c.String()] = true
	}
	if len(seen) < 99 {
		t.Errorf("%d codes of 100 differ", len(seen))
	}
}

func addressOf(n byte) string {
	k, err := address.PrivateKeyFromBytes(append(make([]byte, 31), n))
	if err != nil {
		panic(err)
	}
	return address.Address{Key: k.Public()}.String()
}

func parse(t testing.TB, b []byte) message {
	t.Helper()
	m, err := decode(b)
	if err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	return m
}

// The exchange without a network.
func TestExchange(t *testing.T) {
	right, wrong := Code{7, [2]string{"zebra", "acrobat"}}, Code{7, [2]string{"zebra", "acid"}}
	o := &offerer{code: right, self: addressOf(1)}
	k := newTaker(right, addressOf(2))
	a := parse(t, k.current)
	b, _, done, err := o.receive(a)
	if done || err != nil {
		t.Fatal(done, err)
	}
	if again, _, _, _ := o.receive(a); !bytes.Equal(again, b) {
		t.Error("a repeated A has another answer")
	}
	c, _, done, err := k.receive(parse(t, b))
	if done || err != nil {
		t.Fatal(done, err)
	}
	d, taker, done, err := o.receive(parse(t, c))
	if !done || err != nil || taker.Address.String() != addressOf(2) {
		t.Fatal(taker, done, err)
	}
	if again, _, done, _ := o.receive(parse(t, c)); done || !bytes.Equal(again, d) {
		t.Error("a repeated C has another answer")
	}
	if _, _, done, err := k.receive(parse(t, append(d[:len(d)-1:len(d)-1], d[len(d)-1]^1))); done || err != nil {
		t.Error("a forged D ended it")
	}
	_, offering, done, err := k.receive(parse(t, d))
	if !done || err != nil || offering.Address.String() != addressOf(1) {
		t.Fatal(offering, done, err)
	}
	if offering.Secret != taker.Secret || offering.Secret == [32]byte{} {
		t.Error("the secrets differ")
	}

	// The wrong words: both sides know, and there is no second guess.
	o = &offerer{code: right, self: addressOf(1)}
	k = newTaker(wrong, addressOf(2))
	b, _, _, _ = o.receive(parse(t, k.current))
	c, _, done, err = k.receive(parse(t, b))
	if !done || !errors.Is(err, ErrWrongCode) || c == nil {
		t.Fatal(done, err)
	}
	if bytes.Contains(c, []byte(addressOf(2))) || len(c) != headSize+tagSize {
		t.Error("more than a tag goes to a side that was not proven")
	}
	if _, _, done, err = o.receive(parse(t, c)); !done || !errors.Is(err, ErrWrongCode) {
		t.Fatal(done, err)
	}
	if reply, _, done, _ := o.receive(parse(t, newTaker(right, addressOf(3)).current)); reply != nil || done {
		t.Error("a second guess")
	}

	// Another session, while one has its guess, gets nothing.
	o = &offerer{code: right, self: addressOf(1)}
	k = newTaker(right, addressOf(2))
	_, _, _, _ = o.receive(parse(t, k.current))
	if reply, _, _, _ := o.receive(parse(t, newTaker(right, addressOf(3)).current)); reply != nil {
		t.Error("two sessions at once")
	}
	// What is no point is no guess, and does not use the code up.
	o = &offerer{code: right, self: addressOf(1)}
	if reply, _, done, _ := o.receive(message{kindA, session{1}, make([]byte, 32)}); reply != nil || done || o.session != nil {
		t.Error("the neutral element was taken")
	}
	// A number is bound, though the words are the same.
	o = &offerer{code: Code{8, right.words}, self: addressOf(1)}
	b, _, _, _ = o.receive(parse(t, k.current))
	if _, _, done, err := k.receive(parse(t, b)); !done || !errors.Is(err, ErrWrongCode) {
		t.Error(done, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"4821-zebra-acrobat", "4821-zebar-acrobat", "1-a-b", "--", "1-\xff-\u0435"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse(s)
		if err != nil {
			if len(err.Error()) > 700 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if again, err := Parse(c.String()); err != nil || again != c {
			t.Fatalf("%q gives %q, which gives %q, %v", s, c, again, err)
		}
	})
}

// Whatever comes, in whatever order, neither side panics, and neither believes
// anybody who does not know the words.
func FuzzExchange(f *testing.F) {
	right := Code{7, [2]string{"zebra", "acrobat"}}
	k := newTaker(right, addressOf(2))
	o := &offerer{code: right, self: addressOf(1)}
	b, _, _, _ := o.receive(parse(f, k.current))
	f.Add(k.current, b)
	f.Add([]byte(magic+"A"), []byte{})
	f.Add(message{kindC, session{}, make([]byte, 60)}.encode(), message{kindD, session{}, make([]byte, 60)}.encode())
	f.Fuzz(func(t *testing.T, one, two []byte) {
		o := &offerer{code: right, self: addressOf(1)}
		k := newTaker(right, addressOf(2))
		first := parse(t, k.current)
		_, _, _, _ = o.receive(first)
		for _, raw := range [][]byte{one, two, one} {
			m, err := decode(raw)
			if err != nil {
				continue
			}
			if !bytes.Equal(m.encode(), raw) {
				t.Fatalf("%x is written again as %x", raw, m.encode())
			}
			for _, s := range []session{m.session, first.session} {
				m.session = s
				if _, peer, done, err := o.receive(m); done && err == nil {
					t.Fatalf("the offerer believes %v", peer)
				}
				if _, peer, done, err := k.receive(m); done && err == nil {
					t.Fatalf("the taker believes %v", peer)
				}
			}
		}
	})
}
