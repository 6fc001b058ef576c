package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

// labHost is a host of sallyport lab, as --host describes it.
type labHost struct {
	name    string
	nat     string      // the word for its NAT, for people
	open    bool        // no NAT
	with    string      // the host behind whose NAT it is, too; then box is unused
	box     natlab.NAT  // otherwise its own
	carrier *natlab.NAT // the carrier's NAT, in front of that
	link    natlab.Link // of the host where it is open, else of its box
}

// natWords are the NATs that --host knows, beside symmetric+N and dependent+N.
var natWords = []string{"open", "firewall", "full-cone", "restricted", "port-restricted", "symmetric", "symmetric+1", "dependent+1", "blocked", "kernel"}

// maxLabName keeps names fit for environment variables.
const maxLabName = 20

// parseLabHost reads NAME[:NAT][,OPTION]….
func parseLabHost(s string, delay time.Duration) (labHost, error) {
	name, rest, _ := strings.Cut(s, ":")
	h := labHost{name: name, link: natlab.Link{Delay: delay}}
	if !validLabName(name) {
		return h, fmt.Errorf("host name %q: expected 1 to %d letters and digits, a letter first", name, maxLabName)
	}
	if name == labServer {
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

func validLabName(s string) bool {
	letter := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
	if s == "" || len(s) > maxLabName || !letter(rune(s[0])) {
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
	return box, false, fmt.Errorf("there is no NAT %q; there are %s", word, strings.Join(natWords, ", "))
}

// option reads one of the words after the NAT.
func (h *labHost) option(s string) error {
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
	if err == nil && (d < 0 || d > 10*time.Second) {
		err = fmt.Errorf("expected 0 to 10s")
	}
	return d, err
}

// labPart is one command and the host that it runs on.
type labPart struct {
	host    string
	command []string
}

// splitCommands splits the words after -- at each ---. A part that begins with
// NAME: runs on that host, the others on the hosts in their order.
func splitCommands(words, hosts []string) ([]labPart, error) {
	var parts []labPart
	for n := 0; ; n++ {
		end := slices.Index(words, "---")
		part := words
		if end >= 0 {
			part = words[:end]
		}
		var p labPart
		if name, ok := strings.CutSuffix(first(part), ":"); ok {
			if !slices.Contains(hosts, name) {
				return nil, fmt.Errorf("there is no host %q; there are %s", name, strings.Join(hosts, ", "))
			}
			p.host, part = name, part[1:]
		} else if n < len(hosts) {
			p.host = hosts[n]
		} else {
			return nil, fmt.Errorf("command %d has no host; NAME: before it gives it one", n+1)
		}
		if len(part) == 0 {
			return nil, fmt.Errorf("there is nothing to run on host %q", p.host)
		}
		p.command = part
		parts = append(parts, p)
		if end < 0 {
			return parts, nil
		}
		words = words[end+1:]
	}
}

func first(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return words[0]
}
