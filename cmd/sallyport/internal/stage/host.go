package stage

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

// Host is a host of the laboratory, as --host of sallyport lab describes it.
type Host struct {
	Name    string
	nat     string      // the word for its NAT, for people
	open    bool        // no NAT
	with    string      // the host behind whose NAT it is, too; then box is unused
	box     natlab.NAT  // otherwise its own
	carrier *natlab.NAT // the carrier's NAT, in front of that
	link    natlab.Link // of the host where it is open, else of its box
}

// NATs are the NATs that --host knows, beside symmetric+N and dependent+N.
var NATs = []string{"open", "firewall", "full-cone", "restricted", "port-restricted", "symmetric", "symmetric+1", "dependent+1", "blocked", "kernel"}

// maxName keeps names fit for environment variables.
const maxName = 20

// ParseHost reads NAME[:NAT][,OPTION]….
func ParseHost(s string, delay time.Duration) (Host, error) {
	name, rest, _ := strings.Cut(s, ":")
	h := Host{Name: name, link: natlab.Link{Delay: delay}}
	if !validName(name) {
		return h, fmt.Errorf("host name %q: expected 1 to %d letters and digits, a letter first", name, maxName)
	}
	if name == ServerName {
		return h, fmt.Errorf("host name %q is taken by the broker and STUN server", name)
	}
	words := strings.Split(rest, ",")
	h.nat = words[0]
	if other, ok := strings.CutPrefix(h.nat, "@"); ok {
		h.with = other
	} else {
		box, open, err := parseNAT(h.nat)
		if err != nil {
			return h, err
		}
		h.box, h.open = box, open
	}
	for _, option := range words[1:] {
		if err := h.option(option); err != nil {
			return h, err
		}
	}
	if h.open && h.carrier != nil {
		return h, fmt.Errorf("host %q has no NAT that could be behind a carrier's", name)
	}
	return h, nil
}

func validName(s string) bool {
	letter := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
	if s == "" || len(s) > maxName || !letter(rune(s[0])) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return !letter(r) && (r < '0' || r > '9') })
}

// parseNAT reads a word for a NAT; the empty one is open.
func parseNAT(word string) (box natlab.NAT, open bool, err error) {
	kind, step, stepped := strings.Cut(word, "+")
	sign := 1
	if !stepped && strings.HasPrefix(word, "symmetric-") || strings.HasPrefix(word, "dependent-") {
		kind, step, stepped = strings.Cut(word, "-")
		sign = -1
	}
	value := 0
	if stepped {
		value, err = strconv.Atoi(step)
		if err != nil || value < 1 || value > 100 {
			return box, false, fmt.Errorf("NAT %q: expected a step of 1 to 100", word)
		}
		value *= sign
	}
	switch {
	case kind == "symmetric" && stepped:
		return natlab.NAT{Mapping: nat.AddressAndPortDependent, Ports: nat.Delta{Kind: nat.Independent, Value: value}}, false, nil
	case kind == "dependent" && stepped:
		return natlab.NAT{Mapping: nat.AddressAndPortDependent, Ports: nat.Delta{Kind: nat.Dependent, Value: value}}, false, nil
	case stepped:
	case word == "" || word == "open":
		return box, true, nil
	case word == "firewall":
		return natlab.Typed(nat.SymmetricFirewall), false, nil
	case word == "full-cone":
		return natlab.Typed(nat.FullCone), false, nil
	case word == "restricted":
		return natlab.Typed(nat.Restricted), false, nil
	case word == "port-restricted":
		return natlab.Typed(nat.PortRestricted), false, nil
	case word == "symmetric":
		return natlab.Typed(nat.Symmetric), false, nil
	case word == "blocked":
		return natlab.Typed(nat.Blocked), false, nil
	case word == "kernel":
		return natlab.NAT{Kernel: true}, false, nil
	}
	return box, false, fmt.Errorf("there is no NAT %q; there are %s", word, strings.Join(NATs, ", "))
}

// option reads one of the words after the NAT.
func (h *Host) option(s string) error {
	key, value, _ := strings.Cut(s, "=")
	var err error
	switch key {
	case "delay":
		h.link.Delay, err = parseDelay(value)
	case "jitter":
		h.link.Jitter, err = parseDelay(value)
	case "loss":
		var percent float64
		percent, err = strconv.ParseFloat(strings.TrimSuffix(value, "%"), 64)
		if err == nil && !(percent >= 0 && percent <= 100) {
			err = fmt.Errorf("expected 0%% to 100%%")
		}
		h.link.Loss = percent / 100
	case "refuse":
		refusals := []string{"drop", "rst", "icmp"}
		k := slices.Index(refusals, value)
		if k < 0 {
			return fmt.Errorf("option %q: expected one of %s", s, strings.Join(refusals, ", "))
		}
		h.box.Refuse = natlab.Refusal(k)
	case "carrier":
		box, open, err := parseNAT(value)
		if err != nil || open {
			return fmt.Errorf("option %q: expected a NAT", s)
		}
		h.carrier = &box
	default:
		return fmt.Errorf("there is no option %q; there are delay, jitter, loss, refuse and carrier", key)
	}
	if err != nil {
		return fmt.Errorf("option %q: %w", s, err)
	}
	return nil
}

func parseDelay(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > 10*time.Second {
		return 0, fmt.Errorf("expected a time from 0 to 10s, such as 20ms")
	}
	return d, nil
}
