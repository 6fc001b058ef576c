package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/node/code"
)

// codeConfig is who we are to the other side of a code.
func (a *app) codeConfig(f *nodeFlags) (cfg code.Config, err error) {
	key, err := a.identity(f)
	if err != nil {
		return cfg, err
	}
	if cfg.Brokers, err = f.parseBrokers(); err != nil {
		return cfg, err
	}
	cfg.Self, err = f.namedAddress(key.Public())
	return cfg, err
}

// offerAddress shows a code and waits until somebody has used it.
func (a *app) offerAddress(ctx context.Context, f *nodeFlags, wait time.Duration) error {
	cfg, err := a.codeConfig(f)
	if err != nil {
		return err
	}
	var at meeting
	cfg.Opened = at.open
	o, err := code.Offer(cfg)
	if err != nil {
		return err
	}
	defer o.Close()
	words := []string{"sallyport", "contact", "add"}
	for _, b := range f.brokers { // the other side has to meet us there
		words = append(words, "--broker", b)
	}
	command := strings.Join(append(words, "friend", "--code", o.Code().String()), " ")
	if a.json {
		emit(a.out, codeEvent{"code", o.Code().String(), command})
	} else {
		fmt.Fprintf(a.out, "Code: %s\n", o.Code())
		fmt.Fprintf(a.out, "There: %s\n", command)
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	stop := a.tellIdleOf(at.unused(wait))
	peer, err := o.Accept(waiting)
	stop()
	if err != nil {
		if ctx.Err() != nil {
			a.say("Nobody has used the code, and it is void now.")
			return ctx.Err()
		}
		if !brokerless(err) && context.Cause(waiting) == context.DeadlineExceeded {
			return &failure{status: statusAbsent, what: fmt.Sprintf("nobody used the code for %v", short(wait)), hint: "try again, and longer with --wait", cause: err}
		}
		if f := explain(err); f.status == statusWrongCode {
			f.hint = "run \"sallyport addr --code\" for a new one"
			return f
		}
		return err
	}
	select {
	case <-time.After(lastWord):
	case <-ctx.Done():
	}
	if a.json {
		emit(a.out, takenEvent{"taken", peer.Address.Key.String(), peer.Address.String()})
		return nil
	}
	fmt.Fprintf(a.out, "Taken by: %s\n", peer.Address)
	return nil
}

// lastWord is how long an offering stays to repeat its last message, should it
// have been lost: the taker asks again twice a second.
const lastWord = 1200 * time.Millisecond

type codeEvent struct {
	Event   string `json:"event"`
	Code    string `json:"code"`
	Command string `json:"command"`
}

type takenEvent struct {
	Event   string `json:"event"`
	ID      string `json:"id"`
	Address string `json:"address"`
}
