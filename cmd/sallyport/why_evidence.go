package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
	"github.com/sallyport-net/sallyport/node/nickname"
)

// evidence is what an attempt to connect has brought to light. What comes after
// a failure is zero.
type evidence struct {
	target string
	found  nickname.Resolution
	naming *failure // why the target names nobody

	session string // the one that is there already, in words; empty where there is none

	reports      []nat.Report // of our networks
	broker, stun error        // what our node misses, as Node.Health has it
	brokers      []address.Broker
	strategies   []node.Strategy // that were allowed; none means all

	via      node.Strategy // empty where nothing came about
	by       string        // the id of the node that relays
	remote   string
	took     time.Duration
	timeline []node.Event
	err      error    // of Connect, or the peer's no
	failure  *failure // the same in words
}

// attempt has a node call the peer, by ping, and gathers what shows. Its error is
// that of an interruption.
func (e *evidence) attempt(ctx context.Context, a *app, n *node.Node, ping func(*node.Node, context.Context, address.Address) (*node.Conn, error)) error {
	conn, err := ping(n, ctx, e.found.Address)
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	e.reports = n.Reports()
	e.broker, e.stun = n.Health()
	if err != nil {
		e.err, e.failure = err, explain(a.explainCall(n, err))
		var ce *node.ConnectError
		if errors.As(err, &ce) {
			e.timeline = ce.Timeline
		}
		return nil
	}
	defer conn.Close()
	e.via, e.by, e.remote, e.took, e.timeline = conn.Via(), conn.By().String(), conn.RemoteAddr().String(), conn.Took(), conn.Timeline()
	_ = conn.SetReadDeadline(time.Now().Add(verdictWait))
	if e.err = conn.Verdict(); e.err != nil {
		e.failure = explain(explainCut(e.err))
	}
	return nil
}

// whyBy is how a node finds out for clients of its API what stands between it and
// a peer. It calls the peer anew, so that a session which is there hides nothing.
func (u *up) whyBy(nd *node.Node, cfg node.Config) func(context.Context, address.Address) (api.Diagnosis, error) {
	return func(ctx context.Context, peer address.Address) (api.Diagnosis, error) {
		if peer.Foreign != "" {
			return api.Diagnosis{}, misused("ask the peer for its Sallyport address", "%v", &node.ErrForeign{ID: peer.Foreign})
		}
		e := evidence{found: nickname.Resolution{Address: peer}, strategies: cfg.Strategies}
		for _, b := range nd.Brokers() {
			e.brokers = append(e.brokers, b.Broker)
		}
		for _, s := range nd.Sessions() {
			if s.Peer == peer.Key && s.Alive {
				e.session = fmt.Sprintf("one is there: with %v, %s, for %v", s.Remote, viaWordsOf(s), time.Since(s.Since).Round(time.Second))
			}
		}
		if err := e.attempt(ctx, u.app, nd, (*node.Node).PingAnew); err != nil {
			return api.Diagnosis{}, err
		}
		return api.Diagnosis(diagnose(e)), nil
	}
}

// viaWordsOf says how a session came about, whoever called.
func viaWordsOf(s node.SessionState) string {
	if s.Via == "" {
		return "called by the peer"
	}
	return viaWords(s.Via, s.By.String())
}
