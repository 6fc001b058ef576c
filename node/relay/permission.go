package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

var errFamily = errors.New("of the other family")

// Permit lets the hosts with these addresses connect to Addr (RFC 8656 §9: a
// permission is for an address, whatever the port). It fails where none of them
// may, with the *Error of the first.
func (a *Allocation) Permit(ctx context.Context, peers ...netip.Addr) error {
	errs := make([]error, len(peers))
	var work sync.WaitGroup
	for n, p := range peers {
		if p.Is4() != a.addr.Addr().Is4() {
			errs[n] = errFamily
			continue
		}
		work.Go(func() { errs[n] = a.permit(ctx, p) })
	}
	work.Wait()
	if err := ctx.Err(); err != nil {
		return &Error{a.place, "permitting the peer", err}
	}
	var first error
	for n, err := range errs {
		switch {
		case err == nil:
			return nil
		case first == nil && err != errFamily:
			first = &Error{a.place, "permitting " + peers[n].String(), err}
		}
	}
	if first == nil {
		first = &Error{a.place, "permitting the peer", fmt.Errorf("it has no address of the family of %v", a.addr)}
	}
	return first
}

func (a *Allocation) permit(ctx context.Context, p netip.Addr) error {
	done := make(chan error, 1)
	// pion/turn's call has no context: it ends with the answer or with Close.
	go func() { done <- a.client.CreatePermission(net.TCPAddrFromAddrPort(netip.AddrPortFrom(p, 0))) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	case <-a.control.ended:
	}
	_ = a.Close()
	<-done
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.New("the relay ended the connection")
}
