package signaling

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling/seal"
)

// Limits of a message. Whatever exceeds them is refused by Encode and Decode.
const (
	MaxTTL       = 60_000 // ms
	MaxDelay     = 60_000 // ms
	MaxFire      = 10_000 // ms
	MaxDial      = 6      // addresses in Direct, and in Relay
	MaxBy        = 3      // nodes in Relay
	MaxMappings  = 16     // addresses in each list of Punch
	MaxRound     = 100
	MaxDetail    = 200     // bytes
	MaxLoan      = 256     // bytes of each text in Loan
	maxTime      = 1 << 43 // ms since 1970: the year 2248, so that differences fit a Duration
	maxKindBytes = 32
)

// Encode checks m and gives its JSON, at most seal.MaxBody bytes.
func Encode(m Message) ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // a URL's & would take six bytes
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	body := bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	// Nothing leaves that the other side would refuse: an address built by
	// hand, for instance, that does not parse.
	if _, err := Decode(body); err != nil {
		return nil, err
	}
	return body, nil
}

// Decode reads the JSON of a message and checks it. Unknown fields and unknown
// kinds pass, since a newer version may have sent them; all that is known is
// held to its limits.
func Decode(body []byte) (Message, error) {
	var m Message
	if len(body) > seal.MaxBody {
		return Message{}, fmt.Errorf("message: %d bytes, at most %d", len(body), seal.MaxBody)
	}
	if !utf8.Valid(body) {
		return Message{}, errors.New("message: not UTF-8")
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return Message{}, fmt.Errorf("message: %w", err)
	}
	if err := m.Validate(); err != nil {
		return Message{}, fmt.Errorf("message: %w", err)
	}
	return m, nil
}

// Validate reports the first thing that is wrong with m. Every message that
// Decode gives has passed it.
func (m Message) Validate() error {
	if err := m.header(); err != nil {
		return err
	}
	if err := m.sections(); err != nil {
		return fmt.Errorf("%s: %w", m.Kind, err)
	}
	return nil
}

func (m Message) header() error {
	switch {
	case !m.Kind.wellFormed():
		return fmt.Errorf("kind %q is not 1 to %d of A-Z, 0-9 and _", m.Kind, maxKindBytes)
	case m.ID.IsZero():
		return errors.New("no id")
	case m.Sent <= 0 || m.Sent > maxTime:
		return fmt.Errorf("sent %d is not a time", m.Sent)
	case m.TTL < 1 || m.TTL > MaxTTL:
		return fmt.Errorf("ttl %d is not within 1 and %d ms", m.TTL, MaxTTL)
	case m.Delay < 0 || m.Delay > MaxDelay:
		return fmt.Errorf("delay %d is not within 0 and %d ms", m.Delay, MaxDelay)
	case m.Heard < 0 || m.Heard > maxTime:
		return fmt.Errorf("heard %d is not a time", m.Heard)
	case (m.Heard == 0) != m.Answers.IsZero():
		return errors.New("heard belongs to an answer, and to every answer")
	case m.From.Key.IsZero() || m.From.Foreign != "":
		return errors.New("the sender's address has no key")
	}
	return nil
}

// sections checks that a message of a known kind has what the kind needs and
// nothing of another kind.
func (m Message) sections() error {
	known := true
	var direct, punch, relay, refuse, question, answer, attempt bool
	switch m.Kind {
	case KindDirect:
		direct, question, attempt = true, true, true
	case KindPunch:
		punch, attempt = true, true
	case KindRelay:
		relay, attempt = true, true
	case KindGetAddress:
		question = true
	case KindReturnAddress, KindAck:
		answer = true
	case KindRefuse:
		refuse, answer = true, true
	default:
		known = false
	}
	if known {
		switch {
		case direct != (m.Direct != nil):
			return section("direct", direct)
		case punch != (m.Punch != nil):
			return section("punch", punch)
		case relay != (m.Relay != nil):
			return section("relay", relay)
		case refuse != (m.Refuse != nil):
			return section("refuse", refuse)
		case question && !m.Answers.IsZero():
			return errors.New("answers a message, but is a question")
		case answer && m.Answers.IsZero():
			return errors.New("answers no message")
		case attempt && m.Attempt.IsZero():
			return errors.New("no attempt")
		}
	}
	if m.Direct != nil {
		if err := m.Direct.validate(); err != nil {
			return err
		}
	}
	if m.Punch != nil {
		if err := m.Punch.validate(); err != nil {
			return err
		}
	}
	if m.Relay != nil {
		if err := m.Relay.validate(!m.Answers.IsZero()); err != nil {
			return err
		}
	}
	if m.Refuse != nil {
		return m.Refuse.validate()
	}
	return nil
}

func section(name string, wanted bool) error {
	if wanted {
		return fmt.Errorf("no section %q", name)
	}
	return fmt.Errorf("section %q does not belong here", name)
}

func (d Direct) validate() error {
	if d.Secret.IsZero() {
		return errors.New("no secret")
	}
	return endpoints("dial", d.Dial, 1, MaxDial)
}

func (r Relay) validate(answers bool) error {
	if r.Secret.IsZero() {
		return errors.New("no secret")
	}
	if r.By != nil {
		return r.validateBy(answers)
	}
	least := 0
	if answers || r.Loan != nil {
		least = 1
	}
	if err := endpoints("dial", r.Dial, least, MaxDial); err != nil || r.Loan == nil {
		return err
	}
	return r.Loan.validate()
}

// validateBy checks a section that is about nodes that relay.
func (r Relay) validateBy(answers bool) error {
	switch {
	case len(r.Dial) > 0 || r.Loan != nil:
		return errors.New("nodes that relay, beside endpoints at a relay")
	case answers && len(r.By) == 0, len(r.By) > MaxBy:
		return fmt.Errorf("%d nodes in \"by\", at most %d", len(r.By), MaxBy)
	}
	for k, a := range r.By {
		switch {
		case a.Key.IsZero() || a.Foreign != "":
			return errors.New("a node in \"by\" has no key")
		case len(a.Interfaces()) > 0 || a.MachineID != "":
			return errors.New("a node in \"by\" has more than brokers and a key")
		case slices.ContainsFunc(r.By[:k], func(b address.Address) bool { return b.Key == a.Key }):
			return errors.New("a node stands twice in \"by\"")
		}
	}
	return nil
}

func (l Loan) validate() error {
	if err := endpoints("at", []netip.AddrPort{l.At}, 1, 1); err != nil {
		return err
	}
	for name, text := range map[string]string{"user": l.User, "password": l.Password, "name": l.TLS} {
		if (text == "" && name != "name") || len(text) > MaxLoan {
			return fmt.Errorf("a loan's %s has %d bytes, not 1 to %d", name, len(text), MaxLoan)
		}
		if strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' }) {
			return fmt.Errorf("a loan's %s is not printable", name)
		}
	}
	return nil
}

func (p Punch) validate() error {
	switch {
	case p.Secret.IsZero():
		return errors.New("no secret")
	case p.Role != RoleDialer && p.Role != RolePrimer:
		return fmt.Errorf("role %q is neither %q nor %q", p.Role, RoleDialer, RolePrimer)
	case p.Round < 0 || p.Round > MaxRound:
		return fmt.Errorf("round %d is not within 0 and %d", p.Round, MaxRound)
	case p.Fire < 0 || p.Fire > MaxFire:
		return fmt.Errorf("fire %d is not within 0 and %d ms", p.Fire, MaxFire)
	}
	if p.At != (netip.AddrPort{}) {
		if err := endpoints("at", []netip.AddrPort{p.At}, 1, 1); err != nil {
			return err
		}
	}
	if err := endpoints("from", p.From, 1, MaxMappings); err != nil {
		return err
	}
	return endpoints("to", p.To, 0, MaxMappings)
}

func (r Refuse) validate() error {
	if !r.Reason.wellFormed() { // a newer version may know more reasons
		return fmt.Errorf("reason %q is not 1 to %d of a-z and -", r.Reason, maxKindBytes)
	}
	if len(r.Detail) > MaxDetail {
		return fmt.Errorf("a detail of %d bytes, at most %d", len(r.Detail), MaxDetail)
	}
	if !utf8.ValidString(r.Detail) {
		return errors.New("the detail is not UTF-8")
	}
	for _, c := range r.Detail {
		if !unicode.IsPrint(c) { // a terminal will show it
			return fmt.Errorf("the detail %q is not printable", r.Detail)
		}
	}
	return nil
}

// endpoints checks a list of addresses. What may be dialled of them is another
// question, which the reflector answers.
func endpoints(name string, list []netip.AddrPort, low, high int) error {
	if len(list) < low || len(list) > high {
		return fmt.Errorf("%d addresses in %q, not %d to %d", len(list), name, low, high)
	}
	for _, ap := range list {
		switch a := ap.Addr(); {
		case !a.IsValid():
			return fmt.Errorf("an empty address in %q", name)
		case a.Zone() != "":
			return fmt.Errorf("address %q in %q has a zone", ap, name)
		case a.Is4In6():
			return fmt.Errorf("address %q in %q is IPv4 dressed as IPv6", ap, name)
		case ap.Port() == 0:
			return fmt.Errorf("address %q in %q has no port", ap, name)
		}
	}
	return nil
}

func (k Kind) wellFormed() bool {
	for _, c := range []byte(k) {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return len(k) >= 1 && len(k) <= maxKindBytes
}

func (r Reason) wellFormed() bool {
	for _, c := range []byte(r) {
		if (c < 'a' || c > 'z') && c != '-' {
			return false
		}
	}
	return len(r) >= 1 && len(r) <= maxKindBytes
}
