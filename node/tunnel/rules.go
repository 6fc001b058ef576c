package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// maxRules is how many rules there may be.
const maxRules = 1024

// ErrNotAllowed is the error of a place that no rule allows.
var ErrNotAllowed = errors.New("not allowed")

// Rule allows places: HOST:PORT, where HOST is a name, an IP address, a network
// in CIDR form or *, and PORT a number or *.
type Rule struct {
	name   string       // of a host name
	prefix netip.Prefix // of an address or a network
	port   uint16       // 0 is every port
}

// anyHost reports whether the rule is for all hosts.
func (r Rule) anyHost() bool { return r.name == "" && !r.prefix.IsValid() }

// Rules allow what any of them allows; none allow nothing.
type Rules []Rule

// ParseRules reads rules as people give them.
func ParseRules(texts []string) (Rules, error) {
	if len(texts) > maxRules {
		return nil, fmt.Errorf("%d rules are more than %d", len(texts), maxRules)
	}
	var all Rules
	for _, t := range texts {
		r, err := parseRule(strings.TrimSpace(t))
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

func parseRule(s string) (Rule, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return Rule{}, fmt.Errorf("%q is not HOST:PORT", clip(s))
	}
	var r Rule
	if port != "*" {
		if r.port, err = parsePort(port); err != nil {
			return Rule{}, err
		}
	}
	if host == "*" {
		return r, nil
	}
	if strings.Contains(host, "/") {
		p, err := netip.ParsePrefix(host)
		if err != nil || p.Addr().Is4In6() {
			return Rule{}, fmt.Errorf("%q is not a network such as 10.0.0.0/8", clip(host))
		}
		r.prefix = p.Masked()
		return r, nil
	}
	if a, err := netip.ParseAddr(host); err == nil && a.Zone() == "" {
		a = a.Unmap()
		r.prefix = netip.PrefixFrom(a, a.BitLen())
		return r, nil
	}
	r.name, err = ParseHost(host)
	return r, err
}

// String is the rule as ParseRules reads it.
func (r Rule) String() string {
	host, port := r.name, "*"
	switch {
	case r.anyHost():
		host = "*"
	case r.prefix.IsValid() && r.prefix.IsSingleIP():
		host = r.prefix.Addr().String()
	case r.prefix.IsValid():
		host = r.prefix.String()
	}
	if r.port != 0 {
		port = fmt.Sprint(r.port)
	}
	return net.JoinHostPort(host, port)
}

// Place is the one place that the rule allows; ok says whether it is one.
func (r Rule) Place() (p Place, ok bool) {
	switch {
	case r.port == 0 || r.anyHost() || r.prefix.IsValid() && !r.prefix.IsSingleIP():
		return Place{}, false
	case r.name != "":
		return Place{r.name, r.port}, true
	}
	return Place{r.prefix.Addr().String(), r.port}, true
}

// Wide reports whether a rule is for all hosts.
func (all Rules) Wide() bool { return slices.ContainsFunc(all, Rule.anyHost) }

// Allow reports whether a rule names the place itself. A name may be allowed by
// its addresses besides: see Resolve.
func (all Rules) Allow(p Place) bool {
	addr, isAddr := p.Addr()
	return slices.ContainsFunc(all, func(r Rule) bool {
		return r.isFor(p.Port) && (r.anyHost() || isAddr && r.has(addr) || !isAddr && r.name != "" && r.name == p.Host)
	})
}

// AllowAnyPort reports whether a rule allows every port of the place's host.
func (all Rules) AllowAnyPort(p Place) bool {
	return slices.ContainsFunc(all, func(r Rule) bool { return r.port == 0 && Rules{r}.Allow(p) })
}

func (r Rule) isFor(port uint16) bool { return r.port == 0 || r.port == port }

func (r Rule) has(a netip.Addr) bool { return r.prefix.IsValid() && r.prefix.Contains(a.Unmap()) }

// Resolve gives what to dial for a place, best first: the place itself where a
// rule names it, and else those addresses of its name that a rule allows. lookUp
// is asked only if there are rules for addresses that could matter, and what it
// knows shows in nothing but what is allowed. Otherwise the error is
// ErrNotAllowed.
func (all Rules) Resolve(ctx context.Context, p Place, lookUp func(context.Context, string) ([]netip.Addr, error)) ([]Place, error) {
	if all.Allow(p) {
		return []Place{p}, nil
	}
	_, isAddr := p.Addr()
	if isAddr || !slices.ContainsFunc(all, func(r Rule) bool { return r.isFor(p.Port) && r.prefix.IsValid() }) {
		return nil, ErrNotAllowed
	}
	addrs, err := lookUp(ctx, p.Host)
	if err != nil {
		return nil, ErrNotAllowed
	}
	var to []Place
	for _, a := range addrs {
		a = a.Unmap()
		if a.Zone() == "" && !a.IsUnspecified() && slices.ContainsFunc(all, func(r Rule) bool { return r.isFor(p.Port) && r.has(a) }) {
			to = append(to, Place{a.String(), p.Port})
		}
	}
	if len(to) == 0 {
		return nil, ErrNotAllowed
	}
	return to, nil
}
