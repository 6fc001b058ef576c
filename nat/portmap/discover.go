package portmap

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
)

// Offer is what a router could do for a node, as far as it tells.
type Offer struct {
	Gateway netip.Addr // the router that was asked
	// Answers has one for each protocol that was tried, in the order of
	// Protocols.
	Answers []Answer
}

// Answer is what a router says by one protocol.
type Answer struct {
	Protocol Protocol
	// External is the address that the router says it has; zero where it does
	// not say. By PCP, and for IPv6, it is told with a mapping only.
	External netip.Addr
	// Err is why Open would get nothing by this protocol: ErrUseless, a
	// *RefusedError, or that no sensible answer came. Nil means that it may
	// well get a mapping.
	Err error
}

// Discover asks the router what it speaks, by all protocols at once, and
// changes nothing there. It sends what the discovery of Open sends, to the
// gateway and to the multicast group of UPnP only, and takes two seconds at
// most, which it does take where a protocol stays unanswered. Of cfg, it needs
// Local, and heeds Gateway and Protocols. An error means that there was no
// router to ask, or that ctx has ended.
func Discover(ctx context.Context, cfg Config) (Offer, error) {
	if !cfg.Local.IsValid() {
		return Offer{}, errors.New("port mapping: a local address is needed")
	}
	cfg.Local = cfg.Local.Unmap()
	if err := cfg.fill(); err != nil {
		return Offer{}, err
	}
	searches := cfg.discover(ctx)
	defer searches.end()
	o := Offer{Gateway: cfg.Gateway}
	for range searches.n {
		r := <-searches.results
		o.Answers = append(o.Answers, r.answer(cfg.Local))
	}
	if err := ctx.Err(); err != nil {
		return Offer{}, err
	}
	order := Protocols()
	slices.SortFunc(o.Answers, func(a, b Answer) int {
		return slices.Index(order, a.Protocol) - slices.Index(order, b.Protocol)
	})
	return o, nil
}

// searches are the discoveries of all protocols, under way.
type searches struct {
	n       int // results that will come
	results chan outcome
	cancel  context.CancelFunc
	all     sync.WaitGroup
}

// outcome is what the discovery of one protocol came to.
type outcome struct {
	found
	err error
}

// discover begins to look for all protocols at once. They take the time of a
// discovery at most; end must be called.
func (c *Config) discover(ctx context.Context) *searches {
	ctx, cancel := context.WithTimeout(ctx, c.discovery)
	all := c.mappers()
	s := &searches{n: len(all), results: make(chan outcome, len(all)), cancel: cancel}
	for _, f := range all {
		s.all.Go(func() { s.results <- outcome{f, f.discover(ctx)} })
	}
	return s
}

// end gives up what has not been answered, and waits for it to stop.
func (s *searches) end() {
	s.cancel()
	s.all.Wait()
}

// answer judges an outcome as Open would.
func (o outcome) answer(local netip.Addr) Answer {
	a := Answer{Protocol: o.protocol, Err: o.err}
	t, ok := o.mapper.(teller)
	if o.err != nil || !ok || local.Is6() {
		return a
	}
	e := t.told().Unmap()
	switch {
	case !e.Is4() || e.IsUnspecified():
		a.Err = errNoAddress
	case !reachable(e):
		a.External, a.Err = e, ErrUseless
	default:
		a.External = e
	}
	return a
}

// teller is a mapper whose protocol tells the router's external address
// without a mapping, for IPv4.
type teller interface{ told() netip.Addr }

func (m *pmpMapper) told() netip.Addr  { return m.address }
func (m *upnpMapper) told() netip.Addr { return m.address }
