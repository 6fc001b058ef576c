package address

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Parse reads an address in its text form, in its compact form, or as a bare
// node id. It is strict, works on at most MaxLength bytes, and gives a
// canonical value. The error is a *ParseError.
func Parse(s string) (Address, error) {
	if s == "" {
		return Address{}, parseError(s, 0, "address", Empty, "", "an address, not an empty string")
	}
	if len(s) > MaxLength {
		return Address{}, tooLong(s, len(s))
	}
	for n := range len(s) {
		if s[n] <= ' ' || s[n] > '~' {
			return Address{}, parseError(s, n, "address", Syntax, s[n:], "printable ASCII without white space")
		}
	}
	switch {
	case strings.HasPrefix(s, compactPrefix):
		return parseCompact(s)
	case len(s) > 2 && s[1] == '_':
		return Address{}, parseError(s, 0, "prefix", UnknownPrefix, s[:2],
			compactPrefix+", as compact addresses begin; another letter may be a newer version")
	case strings.Contains(s, "-"):
		return parseText(s)
	case mayBeKey(s):
		k, err := ParseKey(s)
		if err != nil {
			return Address{}, parseError(s, 0, "node id", BadNodeID, s, wantKey)
		}
		return Address{Key: k}, nil
	}
	return Address{}, parseError(s, 0, "address", UnknownForm, "",
		"five parts joined by -, or a compact address, or a node id of 44 or 45 characters")
}

func tooLong(beginning string, length int) error {
	return parseError(beginning, MaxLength, "address", TooLong, "", fmt.Sprintf("at most %d bytes, not %d", MaxLength, length))
}

// String gives the canonical text form, or the bare node id where there is
// nothing but a key. An invalid address gives a text in brackets that says what
// is wrong with it, and that no parser takes.
func (a Address) String() string {
	b, err := a.MarshalText()
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return string(b)
}

// MarshalText gives the canonical text form, or what Validate reports.
func (a Address) MarshalText() ([]byte, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	if a.Equal(Address{Key: a.Key}) {
		return []byte(a.Key.String()), nil
	}
	b := make([]byte, 0, 256)
	if len(a.Brokers) == 0 {
		b = append(b, "None"...)
	}
	for n, broker := range a.Brokers {
		if n > 0 {
			b = append(b, ',')
		}
		b = append(b, encodeLiteral(broker.String())...)
	}
	b = appendFamily(append(b, '-'), a.V4)
	b = appendFamily(append(b, '-'), a.V6)
	b = append(append(append(b, '-'), a.Key.String()...), a.Foreign...)
	return append(append(b, '-'), a.MachineID...), nil
}

func appendFamily(b []byte, list []Interface) []byte {
	if len(list) == 0 {
		return append(b, '0')
	}
	for n, i := range list {
		if n > 0 {
			b = append(b, '|')
		}
		b = i.appendText(b)
	}
	return b
}

func (i Interface) appendText(b []byte) []byte {
	i = i.canonical()
	number := func(n int) { b = append(strconv.AppendInt(b, int64(n), 10), ',') }
	b = append(b, '[')
	number(i.NetIndex)
	number(i.Index)
	b = append(i.External.AppendTo(b), ',')
	b = append(i.Internal.AppendTo(b), ',')
	number(int(i.Port))
	number(int(i.NAT))
	number(int(i.Delta.Kind))
	number(int(uint16(i.Delta.Value))) // −n is written 65536−n
	if i.ExternalPort != 0 || i.BrokerRTT != 0 {
		number(int(i.ExternalEndpoint().Port()))
	}
	if i.BrokerRTT != 0 {
		number(int(i.BrokerRTT / time.Millisecond))
	}
	b[len(b)-1] = ']' // in place of the last comma
	return b
}

// String gives the interface as it stands in the text form.
func (i Interface) String() string { return string(i.appendText(nil)) }

// UnmarshalText reads what Parse reads.
func (a *Address) UnmarshalText(b []byte) error {
	if len(b) > MaxLength {
		return tooLong(string(b[:inputShown+1]), len(b)) // without a copy of it all
	}
	v, err := Parse(string(b))
	if err == nil {
		*a = v
	}
	return err
}
