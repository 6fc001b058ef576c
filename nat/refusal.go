package nat

import "fmt"

// Refusal is what becomes of an unsolicited SYN that is not let in (RFC 5382
// §4.3, REQ-4, wants it dropped for six seconds at least).
type Refusal uint8

const (
	RefusalUnknown Refusal = iota // not asked, or everything is let in
	Dropped                       // no answer, so that a SYN that is early does no harm
	Reset                         // RST
	Unreachable                   // an ICMP error
)

var refusalNames = [...]string{"unknown", "dropped", "rst", "icmp"}

// String gives the name in lower case.
func (r Refusal) String() string {
	if int(r) < len(refusalNames) {
		return refusalNames[r]
	}
	return fmt.Sprintf("nat.Refusal(%d)", uint8(r))
}

// Answer is what a test for one thing has shown.
type Answer uint8

const (
	Unasked Answer = iota // nobody has tested it, or the test showed nothing
	Yes
	No
)

var answerNames = [...]string{"unknown", "yes", "no"}

// String gives the answer in lower case.
func (a Answer) String() string {
	if int(a) < len(answerNames) {
		return answerNames[a]
	}
	return fmt.Sprintf("nat.Answer(%d)", uint8(a))
}
