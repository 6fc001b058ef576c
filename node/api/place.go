package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/probe"
	"github.com/sallyport-net/sallyport/node"
)

// probeRest is for how long a look at the networks is not repeated.
const probeRest = 10 * time.Second

// Place is one local address, and what the NATs on the way from there do.
type Place struct {
	Interface    string   `json:"interface"`
	Family       string   `json:"family"`
	Local        string   `json:"local"`
	Uplink       bool     `json:"uplink"` // whether STUN servers are asked from there
	External     string   `json:"external,omitempty"`
	Externals    []string `json:"externals,omitempty"` // all addresses that were seen
	Mapped       string   `json:"mapped,omitempty"`    // IP:PORT where the node's own port is seen
	NAT          bool     `json:"nat"`
	Type         string   `json:"type"`
	TypeCode     int      `json:"type_code"`
	Delta        Delta    `json:"delta"`
	Verdict      string   `json:"verdict"`
	About        string   `json:"about"` // the verdict and the facts, for people
	Sure         bool     `json:"sure"`
	Confidence   float64  `json:"confidence"`
	Guess        bool     `json:"guess"`
	TCP          Finding  `json:"tcp"`
	UDP          Finding  `json:"udp"`
	Hairpin      string   `json:"hairpin"`
	Refusal      string   `json:"refusal"`
	Levels       int      `json:"levels"` // NATs in a row
	LevelsSure   bool     `json:"levels_sure"`
	CarrierGrade bool     `json:"carrier_grade"`
	Depth        int      `json:"depth"` // hops through our own NATs; 0 if unknown
	Hops         []string `json:"hops,omitempty"`
	TookMS       float64  `json:"took_ms"` // of the questions; 0 where none were asked
	Error        string   `json:"error,omitempty"`
}

// PlaceOf describes a place by its report, and by why nobody has answered from
// there when last asked.
func PlaceOf(p node.PlaceState, err error) Place {
	r := p.Report
	out := Place{
		Interface: p.Interface, Family: "IPv4", Local: p.Addr.String(), Uplink: p.Uplink, NAT: r.NATed(),
		Type: r.Type.String(), TypeCode: int(r.Type), Delta: DeltaOf(r.Delta),
		Verdict: nat.Verdict(r), About: nat.Describe(r), Sure: r.Sure(), Confidence: r.Confidence, Guess: r.Guess,
		TCP: FindingOf(r.TCP), UDP: FindingOf(r.UDP), Hairpin: r.Hairpin.String(), Refusal: r.Refusal.String(),
		CarrierGrade: r.NATed() && nat.CarrierGrade(r.Local, r.Hops), Depth: r.Depth, TookMS: milliseconds(r.Took),
	}
	out.Levels, out.LevelsSure = r.Levels()
	if out.Error = errorText(err); errors.Is(err, probe.ErrNoServer) {
		out.Error = probe.ErrNoServer.Error()
	}
	if p.Addr.Is6() {
		out.Family = "IPv6"
	}
	if r.External.IsValid() {
		out.External = r.External.String()
	}
	for _, a := range r.Externals {
		out.Externals = append(out.Externals, a.String())
	}
	for _, a := range r.Hops {
		out.Hops = append(out.Hops, a.String())
	}
	if r.Warm.IsValid() {
		out.Mapped = r.Warm.String()
	}
	return out
}

// Probed is the outcome of a look at the networks.
type Probed struct {
	At         time.Time `json:"at"`
	Fresh      bool      `json:"fresh"` // whether this request was the reason for it
	Interfaces []Place   `json:"interfaces"`
}

func placeOf(p node.PlaceState) Place { return PlaceOf(p, nil) }

// prober looks at the networks, one client's wish at a time.
type prober struct {
	busy chan struct{} // has an element while somebody looks
	last Probed
}

// probe has the node ask the STUN servers anew, unless it was just done: then that
// look's outcome is the answer.
func (s *Server) probe(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), longestWait)
	defer cancel()
	p := &s.prober
	select {
	case p.busy <- struct{}{}:
		defer func() { <-p.busy }()
	case <-ctx.Done():
		return
	}
	if time.Since(p.last.At) < probeRest {
		answer(w, http.StatusOK, p.last)
		return
	}
	found, err := s.cfg.Node.Probe(ctx)
	if err != nil {
		refuse(w, Failed, err.Error(), "")
		return
	}
	p.last = Probed{At: time.Now().UTC(), Interfaces: list(found, func(f node.Probed) Place { return PlaceOf(f.PlaceState, f.Err) })}
	out := p.last
	out.Fresh = true
	answer(w, http.StatusOK, out)
}
