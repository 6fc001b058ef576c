package address

import (
	"fmt"
	"strings"
)

// Failure names the way in which a text is no address. The vectors of
// docs/address.md name the failure that they expect by these words.
type Failure string

const (
	Empty         Failure = "empty"          // nothing was given
	TooLong       Failure = "too long"       // more than MaxLength bytes; nothing of it was read
	UnknownForm   Failure = "unknown form"   // no text form, no compact form, no node id
	UnknownPrefix Failure = "unknown prefix" // a letter and _, but not those of compact addresses
	MissingPart   Failure = "missing part"   // the text ends before its five parts are there
	Trailing      Failure = "trailing"       // something follows the end of a whole address
	Syntax        Failure = "syntax"         // another character was expected
	NotANumber    Failure = "not a number"   // digits without leading zeros were expected
	OutOfRange    Failure = "out of range"   // a number that its field does not take
	NotAnIP       Failure = "not an ip"      // no IP address, or none that an interface can have
	WrongFamily   Failure = "wrong family"   // an IPv6 address among the IPv4 ones, or the reverse
	TooMany       Failure = "too many"       // more interfaces or brokers than allowed
	BadBroker     Failure = "bad broker"     // neither an index nor the URL of a broker
	BadNodeID     Failure = "bad node id"    // neither a key nor a foreign id
	BadMachineID  Failure = "bad machine id" // other characters than letters, digits and _
	BadChecksum   Failure = "bad checksum"   // a compact address with a typo
	BadLayout     Failure = "bad layout"     // a compact address that nobody's encoder has made
)

// ParseError says where a text stops being an address, and why. Its message
// is at most a few hundred bytes long, however long the input was.
type ParseError struct {
	Input   string  // the beginning of what was read
	Offset  int     // of the first byte that is wrong, from the start of the whole input
	Field   string  // what stood there, as "port of IPv4 interface 1"
	Failure Failure // what kind of error it is
	Found   string  // what was found there, shortened; may be empty
	Want    string  // what was expected instead
}

// Error gives one line, with everything that came from the input quoted.
func (e *ParseError) Error() string {
	var b strings.Builder
	switch {
	case e.Input == "":
		b.WriteString(e.Field)
	case e.Field == "address" && e.Offset == 0: // the input as a whole, which is named once
		fmt.Fprintf(&b, "address %q", e.Input)
	default:
		fmt.Fprintf(&b, "address %q: %s", e.Input, e.Field)
	}
	if e.Offset > 0 {
		fmt.Fprintf(&b, " at byte %d", e.Offset)
	}
	if e.Found != "" {
		fmt.Fprintf(&b, ": found %q", e.Found)
	}
	b.WriteString(": expected " + e.Want)
	return b.String()
}

const (
	inputShown = 40 // bytes of the input that a ParseError repeats
	foundShown = 50 // bytes of the wrong piece; a node id fits
)

// parseError speaks of what stands in the input from byte at on.
func parseError(in string, at int, field string, f Failure, found, want string) *ParseError {
	return &ParseError{
		Input: shorten(in, inputShown), Offset: at, Field: field,
		Failure: f, Found: shorten(found, foundShown), Want: want,
	}
}

// shorten cuts s to n bytes and marks the cut. What is cut in the middle of a
// rune is escaped by %q.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
