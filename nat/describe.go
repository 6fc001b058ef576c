package nat

import "fmt"

// Describe says in plain words, for people, what r means for connections: the
// verdict first, then the facts, then how sure they are.
func Describe(r Report) string {
	s := Verdict(r)
	if r.Type == Blocked || r.Type == TypeUnknown {
		return s
	}
	s += " " + facts(r)
	switch {
	case r.Guess:
		s += " No server answered over TCP: this is guessed from UDP."
	case !r.Sure():
		s += " Too few servers answered, or they contradict each other: this is uncertain."
	}
	s += surroundings(r)
	if r.UDP.Asked > 0 && r.UDP.Answered == 0 && r.TCP.Answered > 0 {
		s += " UDP is blocked; that does not hinder connections over TCP."
	}
	return s
}

// Verdict says for people in one or two sentences whether direct connections
// will work; Describe begins with it.
func Verdict(r Report) string {
	switch r.Type {
	case Open:
		return "Direct connections: yes. Everyone can reach this machine."
	case SymmetricFirewall:
		return "Direct connections: likely. There is no NAT, only a firewall, which both sides open together; only a peer behind a symmetric NAT with random ports may fail."
	case FullCone:
		return "Direct connections: yes. Peers behind any NAT can reach this machine while its port is held open."
	case Restricted, PortRestricted:
		return "Direct connections: likely. Peers behind most NATs can reach this machine; one behind a symmetric NAT with random ports may fail."
	case Symmetric:
		if r.Delta.Predictable() {
			return "Direct connections: likely. The NAT uses a new port for every peer, but the next one can be predicted; only a peer behind a symmetric NAT with random ports may fail."
		}
		return "Direct connections: only to some. The NAT uses a new random port for every peer, so that only peers without NAT or behind a friendlier one can be reached; a relay helps with the others."
	case Blocked:
		return "Direct connections: unlikely. No server answered over TCP or UDP: there is no way to the internet, or a firewall blocks it."
	}
	return "Direct connections: unknown. Nothing has been found out about this network yet."
}

// surroundings says what else is worth knowing, each in a sentence of its own.
func surroundings(r Report) (s string) {
	switch levels, sure := r.Levels(); {
	case CarrierGrade(r.Local, r.Hops) && r.NATed():
		s += " The provider's carrier-grade NAT shares the external address among customers: forwarding a port on the router at home does not help."
	case levels > 1 && !sure:
		s += " There are several private networks on the way out, so perhaps two NATs in a row."
	}
	if n := len(r.Externals); n > 1 {
		s += fmt.Sprintf(" The NAT uses %d external addresses.", n)
	}
	switch r.Refusal {
	case Reset, Unreachable:
		s += " It refuses strangers' connections instead of dropping them, so that punching wants good timing."
	}
	switch r.Hairpin {
	case Yes:
		s += " Machines behind the same NAT reach one another at their external addresses."
	case No:
		s += " Machines behind the same NAT don't reach one another at their external addresses."
	}
	return s
}

func facts(r Report) string {
	s := "Seen as " + r.External.String()
	if !r.NATed() {
		s += ", which is its own address"
	}
	s += fmt.Sprintf("; type: %s", r.Type)
	if r.Type.Translates() {
		s += fmt.Sprintf("; ports: %s", r.Delta)
	}
	return s + "."
}
