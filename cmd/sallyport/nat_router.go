package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"

	"github.com/sallyport-net/sallyport/nat/portmap"
)

// natRouter is what the router could do for a node, as far as it tells.
type natRouter struct {
	Gateway netip.Addr `json:"gateway"` // empty where there was none to ask
	Offers  []natOffer `json:"offers"`
	Says    string     `json:"says"` // all of it in a sentence
}

// natOffer is the answer by one protocol.
type natOffer struct {
	Protocol portmap.Protocol `json:"protocol"`
	Offered  bool             `json:"offered"`
	External string           `json:"external,omitempty"` // as the router says
	Error    string           `json:"error,omitempty"`
}

var protocolNames = map[portmap.Protocol]string{portmap.PCP: "PCP", portmap.NATPMP: "NAT-PMP", portmap.UPnP: "UPnP-IGD"}

// mostOfError is how many bytes of an error are shown: a router words some.
const mostOfError = 200

// natRouterOf words an offer to local, where STUN servers see the address seen.
func natRouterOf(o portmap.Offer, err error, local, seen netip.Addr) natRouter {
	r := natRouter{Gateway: o.Gateway, Offers: []natOffer{}}
	if err != nil {
		r.Says = "none was asked for a port: " + brief(err)
		return r
	}
	var does, useless, refuses []string
	var inner, elsewhere netip.Addr
	why := ""
	for _, a := range o.Answers {
		offer, name := natOffer{Protocol: a.Protocol, Offered: a.Err == nil}, protocolNames[a.Protocol]
		if a.External.IsValid() {
			offer.External = a.External.String()
		}
		var no *portmap.RefusedError
		switch {
		case a.Err == nil:
			does = append(does, name)
			if a.External.IsValid() && seen.IsValid() && a.External != seen {
				elsewhere = a.External
			}
		case errors.Is(a.Err, portmap.ErrUseless):
			useless, inner = append(useless, name), a.External
		case errors.As(a.Err, &no) && no.Speaks():
			refuses, why = append(refuses, name), cmp.Or(why, no.Why)
		}
		if a.Err != nil {
			offer.Error = brief(a.Err)
		}
		r.Offers = append(r.Offers, offer)
	}
	switch {
	case len(does) > 0 && local.Is6():
		r.Says = fmt.Sprintf("%v offers to let a port in by %s; --portmap asks it to", o.Gateway, and(does))
	case len(does) > 0:
		r.Says = fmt.Sprintf("%v offers to forward a port by %s; --portmap asks it to", o.Gateway, and(does))
	case len(useless) > 0:
		r.Says = fmt.Sprintf("%v speaks %s, but its own address %v is not public: another NAT stands behind it, and a port that it forwards leads nowhere", o.Gateway, and(useless), inner)
	case len(refuses) > 0:
		r.Says = fmt.Sprintf("%v speaks %s, but refuses: %s", o.Gateway, and(refuses), why)
	case len(o.Answers) > 0:
		r.Says = fmt.Sprintf("%v offers nothing by %s: at most its own settings can forward a port", o.Gateway, and(namesOf(o.Answers)))
	}
	switch {
	case len(does) > 0 && inner.IsValid():
		r.Says += fmt.Sprintf("; but it says that its own address is %v, which is not public: another NAT stands behind it, and the port may lead nowhere", inner)
	case elsewhere.IsValid():
		r.Says += fmt.Sprintf("; but it says that its address is %v, which is not what servers see: another NAT may stand behind it, and the port lead nowhere", elsewhere)
	}
	return r
}

// brief is an error in one line of bounded length, fit for a terminal.
func brief(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer"
	}
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, err.Error())
	return strings.ToValidUTF8(text[:min(len(text), mostOfError)], "")
}

func namesOf(answers []portmap.Answer) (out []string) {
	for _, a := range answers {
		out = append(out, protocolNames[a.Protocol])
	}
	return out
}

// and joins words as a sentence does.
func and(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// offered names in short what is offered and at which address, to be compared.
func (r natRouter) offered() string {
	var out []string
	for _, o := range r.Offers {
		if o.Offered {
			out = append(out, strings.TrimSpace(protocolNames[o.Protocol]+" "+o.External))
		}
	}
	return strings.Join(out, ", ")
}

func (r natRouter) print(b *strings.Builder) {
	fmt.Fprintf(b, "  router    %s\n", r.Says)
}
