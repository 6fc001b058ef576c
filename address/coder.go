package address

// coder writes and reads the bits of the compact form, most significant first.
// Every method goes both ways: it writes what its argument holds, or reads into
// it. So the layout is described once, and the two directions cannot differ.
type coder struct {
	reading bool
	buf     []byte
	at      int  // the next bit
	bad     bool // when reading: past the end, or a value that no writer makes
}

func (c *coder) bit(v bool) bool {
	i, mask := c.at/8, byte(0x80)>>(c.at%8)
	c.at++
	if c.reading {
		if i >= len(c.buf) {
			c.bad = true
			return false
		}
		return c.buf[i]&mask != 0
	}
	if i == len(c.buf) {
		c.buf = append(c.buf, 0)
	}
	if v {
		c.buf[i] |= mask
	}
	return v
}

// flag is one bit.
func (c *coder) flag(v *bool) { *v = c.bit(*v) }

// number is a number of width bits.
func (c *coder) number(v *int, width int) {
	n := *v
	*v = 0
	for shift := width - 1; shift >= 0; shift-- {
		if c.bit(n>>shift&1 == 1) {
			*v |= 1 << shift
		}
	}
}

// tiered is a number in the first tier that is wide enough. As many ones as
// tiers were skipped come first, then a zero unless it is the last tier, then
// the number, counted from the first one that the skipped tiers cannot hold:
// every number has exactly one code. What the last tier cannot hold is bad.
func (c *coder) tiered(v *int, widths ...int) {
	n, base := *v, 0
	for t, w := range widths {
		last := t == len(widths)-1
		if !last && c.bit(n-base >= 1<<w) {
			base += 1 << w
			continue
		}
		n -= base
		c.number(&n, w)
		*v = base + n
		return
	}
}

// bytes is every bit of p from bit number from on.
func (c *coder) bytes(p []byte, from int) {
	for i := from; i < 8*len(p); i++ {
		mask := byte(0x80) >> (i % 8)
		if c.bit(p[i/8]&mask != 0) {
			p[i/8] |= mask
		}
	}
}
