package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/code"
	"github.com/sallyport-net/sallyport/signaling"
)

// byCode shows a code and waits for whoever takes it, or goes on with who did.
func (s *sendCommand) byCode(ctx context.Context, scan func()) error {
	p, err := remember("send\x00" + strings.Join(s.paths, "\x00"))
	if errors.Is(err, errRunning) {
		return failed(err, "wait for that one, or send it under another name", "this is being sent already")
	}
	if err != nil {
		return failed(err, "try again", "no key could be made: %v", err)
	}
	defer p.close()
	if s.anew && p.Peer != "" {
		if err := p.renew(); err != nil {
			return err
		}
	}
	s.flags.as = p.key()
	m := s.move()
	m.coded = true
	var offer *code.Offering
	if p.Peer == "" {
		if offer, err = s.offer(p); err != nil {
			return err
		}
		defer offer.Close()
	} else {
		s.show(p.Code)
		s.say("Going on with the receiver who took this code before. For somebody else: --new.")
	}
	go scan()
	ctx, cancel := context.WithCancel(ctx)
	nodes := make(chan startedNode, 1)
	go func() {
		n, err := s.listen(ctx)
		nodes <- startedNode{n, err}
	}()
	defer func() {
		cancel()
		if s := <-nodes; s.node != nil { // not taken over by welcome
			_ = s.node.Close()
		}
	}()
	wait := againWait
	if offer != nil {
		if err := s.taken(ctx, offer, p); err != nil {
			return err
		}
		wait = s.wait
	}
	peer, err := p.peer()
	if err != nil {
		return err
	}
	started := <-nodes
	close(nodes)
	if started.err != nil {
		return started.err
	}
	m.absent = "The receiver is not here yet; they can run the same command again."
	err = m.welcome(ctx, started.node, peer.Key, wait)
	switch {
	case err == nil, m.final:
		p.drop()
	default:
		m.tellStopped()
	}
	return err
}

type startedNode struct {
	node *node.Node
	err  error
}

// listen starts the node that the receiver calls. It admits everyone, but not
// before welcome, by when the receiver's key is known and all others are cut.
func (s *sendCommand) listen(ctx context.Context) (*node.Node, error) {
	cfg, err := s.nodeConfig(ctx, &s.flags)
	if err != nil {
		return nil, err
	}
	everyone := signaling.Everyone()
	cfg.Admission = &everyone
	return s.startNode(ctx, cfg, !s.flags.portAsked)
}

// offer draws a code and shows it.
func (s *sendCommand) offer(p *pending) (*code.Offering, error) {
	cfg, err := s.codeConfig(&s.flags)
	if err != nil {
		return nil, err
	}
	cfg.Opened = s.at.open
	o, err := code.Offer(cfg)
	if err != nil {
		return nil, err
	}
	p.Code = o.Code().String()
	s.show(p.Code)
	return o, nil
}

// show prints the code, and the command for the other side.
func (s *sendCommand) show(text string) {
	words := []string{"sallyport", "receive"}
	for _, b := range s.flags.brokers {
		words = append(words, "--broker", b)
	}
	for _, at := range s.flags.stun {
		words = append(words, "--stun", at)
	}
	command := strings.Join(append(words, text), " ")
	if s.toCopy {
		s.board.put(command)
	}
	if s.json {
		emit(s.out, codeEvent{"code", text, command})
		return
	}
	fmt.Fprintf(s.out, "Code: %s\nThere: %s\n", text, command)
	if s.withQR {
		_ = drawQR(s.out, text) // a code is never too long
	}
}

// taken waits until somebody has used the code, and remembers who.
func (s *sendCommand) taken(ctx context.Context, o *code.Offering, p *pending) error {
	wait, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	stop := s.tellIdleOf(s.at.unused(s.wait))
	peer, err := o.Accept(wait)
	stop()
	switch {
	case err == nil:
	case ctx.Err() != nil:
		s.say("Nobody has used the code, and it is void now.")
		return ctx.Err()
	case !brokerless(err) && context.Cause(wait) == context.DeadlineExceeded:
		return &failure{status: statusAbsent, what: fmt.Sprintf("nobody used the code for %v", short(s.wait)), hint: "try again, and longer with --wait", cause: err}
	default:
		if f := explain(err); f.status == statusWrongCode {
			f.hint = `run "sallyport send FILE" for a new one`
			return f
		}
		return err
	}
	p.Peer = peer.Address.String()
	if err := p.keep(); err != nil {
		s.say("Note: this can't be remembered, so that after a kill it begins anew: %v.", err)
	}
	return nil
}
