package address

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

func parseText(s string) (Address, error) {
	p := &scanner{in: s}
	var a Address
	a.Brokers = p.signal()
	p.dash("IPv4 interfaces")
	a.V4 = p.family(ipv4)
	p.dash("IPv6 interfaces")
	a.V6 = p.family(ipv6)
	p.dash("node id")
	a.Key, a.Foreign = p.nodeID()
	p.dash("machine id")
	a.MachineID = p.machineID()
	if p.err != nil {
		return Address{}, p.err
	}
	return a, nil
}

// scanner reads the text form from left to right. After the first error every
// method does nothing, so that the callers read like the grammar.
type scanner struct {
	in  string
	at  int // the next byte to read
	err error
}

func (p *scanner) fail(f Failure, field string, at int, found, want string) {
	if p.err == nil {
		p.err = parseError(p.in, at, field, f, found, want)
	}
}

func (p *scanner) more() bool { return p.err == nil && p.at < len(p.in) }

// token takes everything up to one of the stop bytes or the end.
func (p *scanner) token(stops string) (tok string, at int) {
	at = p.at
	if p.err != nil {
		return "", at
	}
	if n := strings.IndexAny(p.in[at:], stops); n >= 0 {
		p.at += n
	} else {
		p.at = len(p.in)
	}
	return p.in[at:p.at], at
}

// take reads c if it comes next.
func (p *scanner) take(c byte) bool {
	if !p.more() || p.in[p.at] != c {
		return false
	}
	p.at++
	return true
}

const wantParts = "five parts joined by -, but the text ends before this one"

// dash reads the - before the part called next.
func (p *scanner) dash(next string) {
	if p.err != nil || p.take('-') {
		return
	}
	if !p.more() {
		p.fail(MissingPart, next, p.at, "", wantParts)
		return
	}
	p.fail(Syntax, next, p.at, p.in[p.at:], "a - before it")
}

func (p *scanner) signal() (list []Broker) {
	if tok, _ := p.token("-"); tok == "None" {
		return nil
	}
	p.at = 0
	for p.err == nil {
		field := fmt.Sprintf("broker %d", len(list)+1)
		tok, at := p.token(",-")
		if len(list) == MaxBrokers {
			p.fail(TooMany, field, at, tok, fmt.Sprintf("at most %d brokers", MaxBrokers))
			return nil
		}
		if tok == "" {
			p.fail(BadBroker, field, at, "", "None, or indices and URLs joined by commas")
			return nil
		}
		b, want := parseLiteral(tok)
		if want != "" {
			p.fail(BadBroker, field, at, tok, want)
			return nil
		}
		if slices.Contains(list, b) {
			p.fail(BadBroker, field, at, tok, "every broker once")
			return nil
		}
		list = append(list, b)
		if !p.take(',') {
			return list
		}
	}
	return nil
}

func (p *scanner) family(f family) (list []Interface) {
	if p.take('0') {
		return nil
	}
	if p.err == nil && !p.more() {
		p.fail(MissingPart, string(f)+" interfaces", p.at, "", wantParts)
	}
	for p.err == nil {
		name := fmt.Sprintf("%s interface %d", f, len(list)+1)
		if len(list) == MaxInterfaces {
			p.fail(TooMany, name, p.at, "", fmt.Sprintf("at most %d interfaces of one family", MaxInterfaces))
			return nil
		}
		i := p.iface(f, name)
		list = append(list, i)
		if !p.take('|') {
			return list
		}
	}
	return nil
}

const wantFields = "the eight to ten fields netiface,index,external,internal,port,nat,delta,value[,external-port[,broker-rtt]]"

func (p *scanner) iface(f family, name string) (i Interface) {
	if !p.take('[') {
		tok, at := p.token("-|")
		p.fail(Syntax, name, at, tok, "0 for none, or [ and "+wantFields)
		return i
	}
	number := func(field string, lo, hi int) int { return p.number(field+" of "+name, lo, hi) }
	comma := func() {
		if p.err == nil && !p.take(',') {
			tok, at := p.token("-|")
			p.fail(Syntax, name, at, tok, wantFields)
		}
	}
	i.NetIndex = number("netiface", 0, maxIndex)
	comma()
	i.Index = number("index", 0, maxIndex)
	comma()
	i.External = p.ip("external address of "+name, f)
	comma()
	i.Internal = p.ip("internal address of "+name, f)
	comma()
	i.Port = uint16(number("port", 1, 65535))
	comma()
	i.NAT = nat.Type(number("nat", int(nat.Open), int(nat.Blocked)))
	comma()
	i.Delta.Kind = nat.DeltaKind(number("delta", int(nat.NotApplicable), int(nat.Random)))
	comma()
	most := 0
	if stepped(i.Delta.Kind) {
		most = 65535
	}
	i.Delta.Value = int(int16(number("value", 0, most))) // 65536−n is −n
	if p.take(',') {
		i.ExternalPort = uint16(number("external-port", 1, 65535))
		if p.take(',') {
			i.BrokerRTT = time.Duration(number("broker-rtt", 1, maxIndex)) * time.Millisecond
		}
	}
	if p.err == nil && !p.take(']') {
		tok, at := p.token("-|")
		p.fail(Syntax, name, at, tok, "] after "+wantFields)
	}
	return i.canonical()
}

// number reads digits without a sign or leading zeros.
func (p *scanner) number(field string, lo, hi int) int {
	tok, at := p.token(",]-|")
	if p.err != nil {
		return 0
	}
	want := fmt.Sprintf("a number of %d to %d", lo, hi)
	switch {
	case lo == hi:
		want = fmt.Sprintf("%d, since only the deltas 4 and 5 have a value", lo)
	case tok == "" && p.more() && p.in[p.at] == '-':
		p.token(",]|")
		p.fail(NotANumber, field, at, p.in[at:p.at], want+" (a delta of -n is written 65536-n)")
		return 0
	}
	if !isDigits(tok) || len(tok) > 1 && tok[0] == '0' {
		p.fail(NotANumber, field, at, tok, want+" in digits, without leading zeros")
		return 0
	}
	n, err := strconv.Atoi(tok)
	if err != nil || n < lo || n > hi {
		p.fail(OutOfRange, field, at, tok, want)
		return 0
	}
	return n
}

func (p *scanner) ip(field string, f family) netip.Addr {
	tok, at := p.token(",]-|")
	if p.err != nil {
		return netip.Addr{}
	}
	ip, _ := netip.ParseAddr(tok) // the zero Addr is refused below
	if fail, want := f.check(ip); want != "" {
		p.fail(fail, field, at, tok, want)
		return netip.Addr{}
	}
	return ip
}

const (
	wantKey       = "a node id of 44 or 45 base58 characters that is a public key; a character is wrong, or missing"
	wantForeign   = "1 to 64 letters, digits and _"
	wantMachineID = "at most 64 letters, digits and _"
)

func (p *scanner) nodeID() (Key, string) {
	tok, at := p.token("-")
	if p.err != nil {
		return Key{}, ""
	}
	if mayBeKey(tok) {
		k, err := ParseKey(tok)
		if err != nil {
			p.fail(BadNodeID, "node id", at, tok, wantKey)
		}
		return k, ""
	}
	if !validForeign(tok) {
		p.fail(BadNodeID, "node id", at, tok, wantForeign)
	}
	return Key{}, tok
}

func (p *scanner) machineID() string {
	tok, at := p.token("-")
	if p.err != nil {
		return ""
	}
	if p.more() {
		p.fail(Trailing, "end of address", p.at, p.in[p.at:], "nothing after the machine id, the fifth part")
		return ""
	}
	if !validMachineID(tok) {
		p.fail(BadMachineID, "machine id", at, tok, wantMachineID)
	}
	return tok
}

// mayBeKey reports whether s is as long as a node id, or nearly, and has no
// other characters than letters and digits: such a text is a key or an error,
// so that a mistyped key is never taken for a foreign id.
func mayBeKey(s string) bool {
	return len(s) >= 40 && len(s) <= 46 && isWord(s) && !strings.Contains(s, "_")
}

func validForeign(s string) bool {
	return s != "" && len(s) <= MaxForeign && isWord(s) && !mayBeKey(s)
}

func validMachineID(s string) bool { return len(s) <= MaxMachineID && isWord(s) }

// isWord reports whether s has letters of ASCII, digits and _ only.
func isWord(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
