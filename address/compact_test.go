package address

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/mr-tron/base58"
)

// TestCompactByHand writes a compact address bit by bit, as the package
// comment has it, without the code that does so.
func TestCompactByHand(t *testing.T) {
	key := testKey(6).Bytes()
	bits := strings.Join([]string{
		"1", bitsOf(key[1:]), // begins with 3
		"1", "010", // three brokers
		"0" + "00111",             // 7
		"10" + "0000000000000001", // 33
		"11" + "0001111" + bitsOf([]byte("ws://a:1/b/c-def")), // a URL of 16 bytes
		"1", "1", bitsOf([]byte{0x0b, 0xad, 0xca, 0xfe}),
		"01", "01", // an interface of each family

		"10" + "00000000001", // netiface 33
		"0",                  // index 0 at position 0
		bitsOf([]byte{203, 0, 113, 7}),
		"001" + bitsOf([]byte{1, 20}), // 192.168.1.20
		"1001110001000001",            // 40001
		"110", "100",                  // symmetric, independent
		"0" + "000101",           // -3
		"1" + "1100100000100001", // 51234
		"10" + "0000010110",      // 23 ms

		"11" + "0000000000000000", // netiface 2080
		"1" + "1111111111111110",  // index 65535 at position 0
		"0010000000000001" + "0000110110111000" + strings.Repeat("0", 95) + "1", // 2001:db8::1
		"0",                // the same
		"0000000000000001", // port 1
		"001", "001",       // open, not applicable
		"0", "0",
	}, "")
	for len(bits)%8 != 0 {
		bits += "0"
	}
	var payload []byte
	for ; bits != ""; bits = bits[8:] {
		n, err := strconv.ParseUint(bits[:8], 2, 8)
		if err != nil {
			t.Fatal(err)
		}
		payload = append(payload, byte(n))
	}
	sum := sha256.Sum256(append([]byte("s_"), payload...))
	s := "s_" + base58.Encode(append(payload, sum[:4]...))

	a, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	want := "7,33,ws://a:1/b/c%2Ddef" +
		"-[33,0,203.0.113.7,192.168.1.20,40001,6,4,65533,51234,23]" +
		"-[2080,65535,2001:db8::1,2001:db8::1,1,1,1,0]" +
		"-" + base58.Encode(key) + "-0badcafe"
	if got := a.String(); got != want {
		t.Errorf("read as %s\nnot     %s", got, want)
	}
	if got, err := a.Compact(); got != s || err != nil {
		t.Errorf("written as %s, %v\nnot        %s", got, err, s)
	}
}

func bitsOf(b []byte) (s string) {
	for _, v := range b {
		s += fmt.Sprintf("%08b", v)
	}
	return s
}

// TestTiers counts through every boundary: each number has one code, the codes
// are as long as they should be, and none begins like another one's.
func TestTiers(t *testing.T) {
	for _, widths := range [][]int{{5, 16}, {5, 11, 16}, {0, 16}, {0, 10, 16}, {6, 16}, {5, 16, 0}, {3}} {
		most := -1
		for _, w := range widths {
			most += 1 << w
		}
		for n := 0; n <= most; n++ {
			var w coder
			v := n
			w.tiered(&v, widths...)
			r := coder{reading: true, buf: w.buf}
			got := -1
			r.tiered(&got, widths...)
			if v != n || got != n || r.at != w.at || r.bad {
				t.Fatalf("tiers %v: %d is %d after writing and %d after reading, %d of %d bits", widths, n, v, got, r.at, w.at)
			}
		}
	}
}

func TestCoderStopsAtTheEnd(t *testing.T) {
	c := coder{reading: true, buf: []byte{0xff}}
	var n int
	c.number(&n, 8)
	if n != 255 || c.bad {
		t.Fatalf("eight bits read as %d, bad %v", n, c.bad)
	}
	if c.number(&n, 1); !c.bad {
		t.Error("a ninth bit was read from one byte")
	}
}

// TestNoBitIsIgnored flips every bit of a payload under a right checksum: what
// is still an address must be another one.
func TestNoBitIsIgnored(t *testing.T) {
	a := home()
	payload := a.pack()
	others := 0
	for bit := range 8 * len(payload) {
		p := append([]byte(nil), payload...)
		p[bit/8] ^= 0x80 >> (bit % 8)
		b, err := Parse(encodeCompact(p))
		if err != nil {
			continue
		}
		others++
		if b.Equal(a) {
			t.Errorf("bit %d means nothing", bit)
		}
	}
	if others == 0 {
		t.Error("no bit could be flipped; the test shows nothing")
	}
}

func TestForeignHasNoCompactForm(t *testing.T) {
	a := home()
	a.Key, a.Foreign = Key{}, hex.EncodeToString([]byte("p2pd"))
	if s, err := a.Compact(); err == nil {
		t.Errorf("compact form %q", s)
	}
}
