package address

import (
	"errors"
	"testing"
)

// FuzzParse gives anything to Parse. What it takes is valid, prints, and comes
// back as it was in both forms; what it refuses, it refuses with few words.
func FuzzParse(f *testing.F) {
	seeds := 0
	for _, v := range vectors(f) {
		f.Add(v.read)
		seeds++
		if v.compact != "" {
			f.Add(v.compact)
			seeds++
		}
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
		if err != nil {
			var pe *ParseError
			if !errors.As(err, &pe) {
				t.Fatalf("error of type %T", err)
			}
			if pe.Offset < 0 || pe.Offset > len(s) || pe.Failure == "" || pe.Field == "" || pe.Want == "" {
				t.Errorf("%#v", pe)
			}
			if n := len(err.Error()); n > 800 {
				t.Errorf("a message of %d bytes", n)
			}
			return
		}
		checkTaken(t, a)
		if len(s) > 2 && s[:2] == compactPrefix {
			if c, err := a.Compact(); c != s || err != nil {
				t.Errorf("%q is read, but written as %q, %v", s, c, err)
			}
		}
	})
}

// FuzzCompactPayload puts a right checksum on anything, so that the fuzzer gets
// past it.
func FuzzCompactPayload(f *testing.F) {
	seeds := 0
	for _, v := range vectors(f) {
		a, err := Parse(v.read)
		if err != nil || a.Foreign != "" {
			continue
		}
		f.Add(a.pack())
		seeds++
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > maxCompact { // base58 of more takes the fuzzer long, and Parse refuses it
			return
		}
		s := encodeCompact(payload)
		a, err := Parse(s)
		if err != nil {
			return
		}
		checkTaken(t, a)
		if c, err := a.Compact(); c != s || err != nil {
			t.Errorf("%q is read, but written as %q, %v", s, c, err)
		}
	})
}

// FuzzBroker checks that ParseBroker's spelling is final.
func FuzzBroker(f *testing.F) {
	seeds := []string{
		"0", "65535", "mqtt://a", "mqtts://b.example:8883", "WSS://[2001:DB8::1]/a%2fb", "ws://a/%zz", "tcp://1.2.3.4:1",
		"ws://a//b/../c", "ssl://u:p@h", "tls://h:0", "ws://h?x", "mqtt://[::1%25lo]:1", "mqtt:h", "ws://h/\"<>^`{}",
	}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := ParseBroker(s)
		if err != nil {
			return
		}
		if err := b.Validate(); err != nil {
			t.Errorf("%q: %v", s, err)
		}
		if c, err := ParseBroker(b.String()); err != nil || c != b {
			t.Errorf("%q is %q, then %q, %v", s, b, c, err)
		}
		sameAfterParse(t, Address{Brokers: []Broker{b}, Foreign: "x"}, Address{Brokers: []Broker{b}, Foreign: "x"}.String())
	})
}

func checkTaken(t *testing.T, a Address) {
	t.Helper()
	if err := a.Validate(); err != nil {
		t.Errorf("invalid: %v", err)
	}
	text := a.String()
	if len(text) > MaxLength {
		t.Errorf("the text form has %d bytes", len(text))
	}
	sameAfterParse(t, a, text)
	if a.Foreign != "" {
		return
	}
	compact, err := a.Compact()
	if err != nil {
		t.Error(err)
	}
	sameAfterParse(t, a, compact)
}
