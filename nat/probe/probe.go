package probe

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

// Run asks STUN servers over UDP and over TCP, all at once, and reports what
// the NATs on the way do. It takes no more than cfg.Timeout and 60 packets for
// each transport. When nobody answers, the report says Blocked and the error
// is a *NoServerError; any other error means that nothing could be asked.
// When ctx ends early, the report tells what was known by then.
func Run(ctx context.Context, cfg Config) (nat.Report, error) {
	cfg = cfg.filled()
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	p := &prober{
		cfg:       cfg,
		collector: collector{log: cfg.Logger, start: start},
		udpBudget: budget{left: mostPackets},
		tcpBudget: budget{left: mostPackets - keptBack},
	}
	udp, tcp, err := p.prepare(ctx)
	if err != nil {
		return nat.Report{Local: p.local, Type: nat.Blocked, Delta: nat.Delta{Kind: nat.NotApplicable}, Took: time.Since(start)}, err
	}
	p.s.Local, p.s.WarmPort = p.local, cfg.WarmPort
	p.collector.start = time.Now() // names and routes do not count

	var wg sync.WaitGroup
	first := make(chan struct{}, 2)
	wg.Go(func() { p.runUDP(ctx, udp, sync.OnceFunc(func() { first <- struct{}{} })) })
	if len(udp) > 0 {
		wg.Go(func() { hops(ctx, p.local, udp[0].at, p.cfg.Control, p.walked) })
	}
	wg.Go(func() { p.runTCP(ctx, tcp, sync.OnceFunc(func() { first <- struct{}{} })) })
	<-first
	if late, ok := p.late(); ok {
		select {
		case <-first:
		case <-late:
			// One transport is silent, perhaps blocked: the other will do.
		}
	} else {
		<-first
	}
	early := p.progress()
	wg.Wait()
	r := p.report()
	if !sameVerdict(early, r) {
		p.progress()
	}
	return r, p.error(p.local)
}

// prober is one run.
type prober struct {
	collector
	cfg                  Config
	local                netip.Addr
	lane                 lane
	udpBudget, tcpBudget budget
}

// late fires when a first report is due: three round trips and one silence
// after the start. It is false while nobody has answered.
func (p *prober) late() (<-chan time.Time, bool) {
	longest := time.Duration(0)
	for _, m := range append(p.mappings(nat.UDP), p.mappings(nat.TCP)...) {
		longest = max(longest, m.RTT)
	}
	return time.After(time.Until(p.start.Add(3*longest + silence(longest)))), longest > 0
}

// progress tells the caller what is known by now.
func (p *prober) progress() nat.Report {
	r := p.report()
	if p.cfg.Progress != nil {
		p.cfg.Progress(r)
	}
	return r
}

func sameVerdict(a, b nat.Report) bool {
	return a.Type == b.Type && a.Delta == b.Delta && a.Confidence == b.Confidence && a.Warm == b.Warm &&
		a.External == b.External && a.Depth == b.Depth && a.UDP.Delta == b.UDP.Delta && a.TCP.Confidence == b.TCP.Confidence
}

// prepare resolves the servers and finds the address to send from.
func (p *prober) prepare(ctx context.Context) (udp, tcp []target, err error) {
	families := []string{"ip4", "ip6"}
	if l := p.cfg.Local.Unmap(); l.IsValid() {
		families = []string{"ip6"}
		if l.Is4() {
			families[0] = "ip4"
		}
		if !l.IsUnspecified() {
			p.local = l
		}
	}
	var problems []error
	for _, family := range families {
		var wg sync.WaitGroup
		var udpProblems, tcpProblems []error
		wg.Go(func() { udp, udpProblems = resolve(ctx, p.cfg.Resolver, family, p.cfg.Servers) })
		wg.Go(func() { tcp, tcpProblems = resolve(ctx, p.cfg.Resolver, family, p.cfg.TCPServers) })
		wg.Wait()
		udp, tcp = udp[:min(len(udp), mostServers)], tcp[:min(len(tcp), mostTCPServers)]
		problems = append(udpProblems, tcpProblems...)
		var noRoute error
		for _, t := range append(append([]target(nil), udp...), tcp...) {
			if p.local.IsValid() {
				break
			}
			if p.local, noRoute = route(t.at); noRoute != nil {
				problems = append(problems, noRoute)
			}
		}
		if p.local.IsValid() && len(udp)+len(tcp) > 0 {
			p.causes = problems
			return udp, tcp, nil
		}
	}
	return nil, nil, &NoServerError{Local: p.local, Causes: problems}
}

// collectUntil waits until all n results are there, or patience with the rest
// has run out, or ctx has ended. got gives the round trip of each that was
// answered, and is told a negative one for each that failed. It returns the
// number of answers.
func collectUntil(ctx context.Context, n int, got <-chan time.Duration) int {
	start := time.Now()
	var rtts []time.Duration
	timer := time.NewTimer(mostWait)
	defer timer.Stop()
	for left := n; left > 0; {
		select {
		case d := <-got:
			left--
			if d >= 0 {
				rtts = append(rtts, d)
			}
			// Those that failed are no reason to wait.
			timer.Reset(time.Until(start.Add(patience(left+len(rtts), rtts))))
		case <-timer.C:
			return len(rtts)
		case <-ctx.Done():
			return len(rtts)
		}
	}
	return len(rtts)
}
