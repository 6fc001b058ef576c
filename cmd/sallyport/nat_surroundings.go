package main

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/sallyport-net/sallyport/nat"
)

// natSurroundings is what was found out beside mapping, filtering and ports.
type natSurroundings struct {
	Refusal      string       `json:"refusal"` // of a stranger's SYN: unknown, dropped, rst, icmp
	Hairpin      string       `json:"hairpin"` // unknown, yes, no
	Levels       int          `json:"levels"`  // NATs in a row
	LevelsSure   bool         `json:"levels_sure"`
	CarrierGrade bool         `json:"carrier_grade"`
	Depth        int          `json:"depth"` // hops through our own NATs; 0 if unknown
	Hops         []netip.Addr `json:"hops,omitempty"`
}

func (s natSurroundings) print(b *strings.Builder, externals []netip.Addr) {
	line := func(what, format string, args ...any) {
		fmt.Fprintf(b, "  %-9s %s\n", what, fmt.Sprintf(format, args...))
	}
	switch {
	case s.CarrierGrade && s.Levels > 1:
		line("levels", "%d: the router's NAT and a carrier-grade one", s.Levels)
	case s.CarrierGrade:
		line("levels", "%d: a carrier-grade NAT", s.Levels)
	case !s.LevelsSure:
		line("levels", "%d perhaps: there are several private networks on the way", s.Levels)
	}
	if len(externals) > 1 {
		line("addresses", "%v", externals)
	}
	if s.Refusal != nat.RefusalUnknown.String() {
		line("strangers", "%s", map[string]string{
			nat.Dropped.String():     "dropped without an answer",
			nat.Reset.String():       "refused with RST",
			nat.Unreachable.String(): "refused by ICMP",
		}[s.Refusal])
	}
	if s.Hairpin != nat.Unasked.String() {
		line("hairpin", "%s", s.Hairpin)
	}
}
