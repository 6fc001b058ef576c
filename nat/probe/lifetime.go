package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

// LifetimeConfig says how long to look, and whom to ask.
type LifetimeConfig struct {
	// Server is asked over UDP, as "host:port". It must know RESPONSE-PORT
	// (RFC 5780 §7.5), as ours does. Required.
	Server string
	// Local is the address to send from. Default: by route.
	Local netip.Addr
	// First is the shortest silence that is tried; then twice that, and so on.
	// Default 15 s, at least 100 ms.
	First time.Duration
	// Most is the longest. Default 5 minutes, at most an hour. Finding out
	// takes up to twice as long.
	Most     time.Duration
	Control  func(network, address string, c syscall.RawConn) error // as in Config
	Resolver Resolver                                               // default: net.DefaultResolver
	Logger   *slog.Logger                                           // default: none
}

// Lifespan is how long a mapping over UDP lasts that nothing is sent through.
type Lifespan struct {
	AtLeast time.Duration // it was seen alive after so long
	// Below is after how long it was seen dead; 0 if it never was.
	Below time.Duration
}

// bisections is how many silences between the last that a mapping outlived
// and the first that it did not are tried, all at once.
const bisections = 7

// Lifetime finds out how long a mapping over UDP lasts (RFC 5780 §4.6): it
// makes mappings, leaves each alone for another length of time, and has the
// server then answer to it a question asked from another port. First silences
// that double are tried, all at once, then some between the last that a
// mapping outlived and the first that it did not. It takes Most and the
// longest of the latter, sends about ten packets for each of at most 20
// silences, and is meant for the background.
//
// The error is a *NoServerError where nobody answers, and says so where the
// server does not know how, or reaches no mapping even at once: behind a NAT
// with several external addresses.
func Lifetime(ctx context.Context, cfg LifetimeConfig) (Lifespan, error) {
	if cfg.First <= 0 {
		cfg.First = 15 * time.Second
	}
	if cfg.Most <= 0 {
		cfg.Most = 5 * time.Minute
	}
	cfg.First = max(cfg.First, 100*time.Millisecond)
	cfg.Most = max(min(cfg.Most, time.Hour), cfg.First)
	p, server, err := cfg.prober(ctx)
	if err != nil {
		return Lifespan{}, err
	}
	alive, err := outlived(ctx, p, server, []time.Duration{0})
	if err != nil {
		return Lifespan{}, err
	}
	if !alive[0] {
		return Lifespan{}, errors.New("the server's answers reach no other port than the asking one: the NAT may have several external addresses")
	}
	var silences []time.Duration
	for d := cfg.First; d < cfg.Most && len(silences) < 12; d *= 2 {
		silences = append(silences, d)
	}
	silences = append(silences, cfg.Most)
	var span Lifespan
	narrow := func() error {
		alive, err := outlived(ctx, p, server, silences)
		for i, d := range silences {
			if alive[i] {
				span.AtLeast = max(span.AtLeast, d)
			}
		}
		for i, d := range silences { // one that was lost before shows nothing
			if !alive[i] && d > span.AtLeast && (span.Below == 0 || d < span.Below) {
				span.Below = d
			}
		}
		return err
	}
	if err := narrow(); err != nil || span.Below == 0 {
		return span, err
	}
	silences = nil
	for i := range time.Duration(bisections) {
		silences = append(silences, span.AtLeast+(span.Below-span.AtLeast)*(i+1)/(bisections+1))
	}
	return span, narrow()
}

// prober resolves the server and finds the address to send from.
func (c LifetimeConfig) prober(ctx context.Context) (*prober, netip.AddrPort, error) {
	p := &prober{
		cfg: Config{
			Servers: []string{c.Server}, TCPServers: []string{}, Local: c.Local,
			Control: c.Control, Resolver: c.Resolver, Logger: c.Logger,
		}.filled(),
		udpBudget: budget{left: 1000},
	}
	p.collector.log = p.cfg.Logger
	servers, _, err := p.prepare(ctx)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	return p, servers[0].at, nil
}

// outlived tells of each silence whether a mapping outlives it.
func outlived(ctx context.Context, p *prober, server netip.AddrPort, silences []time.Duration) ([]bool, error) {
	alive, errs := make([]bool, len(silences)), make([]error, len(silences))
	var wg sync.WaitGroup
	for i, d := range silences {
		wg.Go(func() { alive[i], errs[i] = outlives(ctx, p, server, d) })
	}
	wg.Wait()
	return alive, errors.Join(errs...)
}

// outlives makes a mapping and asks after a silence whether it is still there.
func outlives(ctx context.Context, p *prober, server netip.AddrPort, silence time.Duration) (bool, error) {
	quiet, err := newAsker(ctx, p, 0)
	if err != nil {
		return false, err
	}
	defer quiet.close()
	patient, cancel := context.WithTimeout(ctx, mostWait)
	defer cancel()
	r, sent, err := quiet.ask(patient, server, 0, retransmit, nil)
	if err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		return false, &NoServerError{Local: p.local, Causes: []error{fmt.Errorf("%v over %v: %w", server, nat.UDP, err)}}
	}
	wait := time.NewTimer(time.Until(sent.Add(silence)))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return knocks(ctx, p, quiet, server, r)
}

// knocks has the server answer to quiet's external port, up to three times,
// since packets get lost.
func knocks(ctx context.Context, p *prober, quiet *asker, server netip.AddrPort, was reply) (bool, error) {
	other, err := newAsker(ctx, p, 0)
	if err != nil {
		return false, err
	}
	defer other.close()
	const tries = 3
	came, refused := make(chan reply, tries), make(chan reply, tries)
	for range tries {
		id, raw := requestToPort(was.mapped.Port())
		quiet.expect(id, server, came)
		other.expect(id, server, refused) // an error is sent to whoever asks
		if _, err := other.conn.WriteToUDPAddrPort(raw, server); err != nil {
			return false, err
		}
		timer := time.NewTimer(silence(was.rtt))
		select {
		case <-came:
			timer.Stop()
			return true, nil
		case r := <-refused:
			timer.Stop()
			if r.err != nil {
				return false, fmt.Errorf("STUN server %v does not answer to another port: %w", server, r.err)
			}
			return false, nil // to the asking port after all
		case <-ctx.Done():
			timer.Stop()
			return false, ctx.Err()
		case <-timer.C:
		}
	}
	return false, nil
}
