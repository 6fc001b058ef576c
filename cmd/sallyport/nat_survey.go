package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/control"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/portmap"
	"github.com/sallyport-net/sallyport/nat/probe"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
)

// natSurvey is the report on all interfaces; its JSON is a promise.
type natSurvey struct {
	Verdict    string         `json:"verdict"`
	Sure       bool           `json:"sure"`
	TookMS     float64        `json:"took_ms"`
	Interfaces []natInterface `json:"interfaces"`
}

type natInterface struct {
	Interface  string       `json:"interface"`
	Family     string       `json:"family"`
	Local      netip.Addr   `json:"local"`
	External   string       `json:"external,omitempty"`
	Externals  []netip.Addr `json:"externals,omitempty"`
	NAT        bool         `json:"nat"`
	Type       string       `json:"type"`
	TypeCode   nat.Type     `json:"type_code"` // as in addresses
	Delta      api.Delta    `json:"delta"`
	Verdict    string       `json:"verdict"`
	Sure       bool         `json:"sure"`
	Confidence float64      `json:"confidence"`
	Guess      bool         `json:"guess"`
	TCP        api.Finding  `json:"tcp"`
	UDP        api.Finding  `json:"udp"`
	natSurroundings
	Router natRouter `json:"router"`
	TookMS float64   `json:"took_ms"`
	Error  string    `json:"error,omitempty"`

	delta nat.Delta
	about string // the facts, for people
}

// survey asks about every interface at once.
func survey(ctx context.Context, f *nodeFlags) (*natSurvey, error) {
	places, err := node.Places(f.interfaces)
	if err != nil {
		return nil, err
	}
	if len(places) == 0 {
		return nil, errNoInterface
	}
	begun := time.Now()
	s := &natSurvey{Interfaces: make([]natInterface, len(places))}
	routers := make([]func(seen netip.Addr) natRouter, len(places))
	var all sync.WaitGroup
	for n, p := range places {
		all.Go(func() {
			o, err := portmap.Discover(ctx, portmap.Config{Local: p.Addr})
			routers[n] = func(seen netip.Addr) natRouter { return natRouterOf(o, err, p.Addr, seen) }
		})
		all.Go(func() {
			var cfg probe.Config
			cfg.Local, cfg.Control = p.Addr, p.Control
			if len(f.stun) > 0 {
				cfg.Servers, cfg.TCPServers = f.stun, f.stun
			}
			r, err := probe.Run(ctx, cfg)
			s.Interfaces[n] = natInterfaceOf(api.PlaceOf(node.PlaceState{Interface: p.Interface, Addr: p.Addr, Report: r, Uplink: true}, err))
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for n := range s.Interfaces {
		s.Interfaces[n].Router = routers[n](s.Interfaces[n].seen())
	}
	s.conclude(begun)
	return s, nil
}

var errNoInterface = &failure{status: statusNoNetwork, what: "there is no network interface with an address", hint: "try to connect this machine to a network"}

// conclude gives the verdict, which is that of the best interface from which
// anybody answered.
func (s *natSurvey) conclude(begun time.Time) {
	s.TookMS = milliseconds(time.Since(begun))
	best := s.Interfaces[0]
	for _, i := range s.Interfaces {
		if i.Error == "" {
			best = i
			break
		}
	}
	s.Verdict, s.Sure = best.Verdict, best.Sure
}

// surveyThrough has the node in the background ask. The routers are asked from
// here: that takes no port of the node's.
func (a *app) surveyThrough(ctx context.Context, up *control.Client) (*natSurvey, error) {
	begun := time.Now()
	var known []api.Place
	if err := up.Ask(ctx, http.MethodGet, "/v1/interfaces", nil, &known); err != nil {
		return nil, err
	}
	routers := make(map[netip.Addr]func(seen netip.Addr) natRouter)
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, p := range known {
		local := addrOf(p.Local)
		if !p.Uplink {
			continue
		}
		all.Go(func() {
			o, err := portmap.Discover(ctx, portmap.Config{Local: local})
			mu.Lock()
			defer mu.Unlock()
			routers[local] = func(seen netip.Addr) natRouter { return natRouterOf(o, err, local, seen) }
		})
	}
	var probed api.Probed
	err := up.Ask(ctx, http.MethodPost, "/v1/interfaces/probe", nil, &probed)
	all.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	if !probed.Fresh {
		a.say("It has asked %v ago.", time.Since(probed.At).Round(time.Second))
	}
	s := &natSurvey{}
	for _, p := range probed.Interfaces {
		i := natInterfaceOf(p)
		if of := routers[i.Local]; of != nil {
			i.Router = of(i.seen())
		} else { // the network has changed meanwhile
			i.Router = natRouter{Offers: []natOffer{}, Says: "not asked"}
		}
		s.Interfaces = append(s.Interfaces, i)
	}
	if len(s.Interfaces) == 0 {
		return nil, errNoInterface
	}
	s.conclude(begun)
	return s, nil
}

// natInterfaceOf is what is known of a place, but for its router.
func natInterfaceOf(p api.Place) natInterface {
	i := natInterface{
		Interface: p.Interface, Family: p.Family, Local: addrOf(p.Local), External: p.External, Externals: addrsOf(p.Externals),
		NAT: p.NAT, Type: p.Type, TypeCode: nat.Type(p.TypeCode), Delta: p.Delta,
		Verdict: p.Verdict, Sure: p.Sure, Confidence: p.Confidence, Guess: p.Guess, TCP: p.TCP, UDP: p.UDP,
		TookMS: p.TookMS, Error: p.Error, delta: nat.Delta{Kind: p.Delta.Code, Value: p.Delta.Value}, about: p.About,
	}
	i.natSurroundings = natSurroundings{
		Refusal: p.Refusal, Hairpin: p.Hairpin, Levels: p.Levels, LevelsSure: p.LevelsSure,
		CarrierGrade: p.CarrierGrade, Depth: p.Depth, Hops: addrsOf(p.Hops),
	}
	return i
}

// seen is the address that servers see, if any does.
func (i natInterface) seen() netip.Addr { return addrOf(i.External) }

func addrOf(text string) netip.Addr {
	a, _ := netip.ParseAddr(text)
	return a
}

func addrsOf(texts []string) (list []netip.Addr) {
	for _, t := range texts {
		list = append(list, addrOf(t))
	}
	return list
}

// answered reports whether any server did.
func (s *natSurvey) answered() bool {
	for _, i := range s.Interfaces {
		if i.TCP.Answered+i.UDP.Answered > 0 {
			return true
		}
	}
	return false
}

// print is for people: the verdict, the facts, how sure.
func (s *natSurvey) print(w io.Writer, verbose bool) {
	var b strings.Builder
	fmt.Fprintln(&b, s.Verdict)
	for _, i := range s.Interfaces {
		fmt.Fprintf(&b, "\n%s, %s, %s:\n", i.Interface, i.Family, i.Local)
		if i.Error != "" {
			fmt.Fprintf(&b, "  %s\n", i.Error)
			if verbose {
				fmt.Fprintf(&b, "  %s\n", i.about)
			}
			i.Router.print(&b)
			continue
		}
		seen := i.External
		if !i.NAT {
			seen += ", its own address"
		}
		fmt.Fprintf(&b, "  seen as   %s\n  type      %s\n", seen, i.Type)
		if i.TypeCode.Translates() {
			fmt.Fprintf(&b, "  ports     %s\n", i.delta)
		}
		printFinding(&b, i.TCP, "TCP")
		printFinding(&b, i.UDP, "UDP")
		i.natSurroundings.print(&b, i.Externals)
		i.Router.print(&b)
		sure := "not sure"
		if i.Sure {
			sure = "sure"
		}
		fmt.Fprintf(&b, "  %s: confidence %.0f %%, found out in %.1f s\n", sure, i.Confidence*100, i.TookMS/1000)
	}
	_, _ = io.WriteString(w, b.String())
}

func printFinding(b *strings.Builder, f api.Finding, transport string) {
	if f.Answered == 0 {
		fmt.Fprintf(b, "  %s       none of %s answered\n", transport, plural(f.Asked, "server"))
		return
	}
	d := nat.Delta{Kind: f.Delta.Code, Value: f.Delta.Value}
	fmt.Fprintf(b, "  %s       mapping %s, filtering %s, ports %s; %d of %s answered, round trip %.1f ms\n",
		transport, f.Mapping, f.Filtering, d, f.Answered, plural(f.Asked, "server"), f.RTTMS)
}
