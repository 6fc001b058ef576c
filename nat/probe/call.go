package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/pion/stun/v2"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/errno"
)

// Two attributes of our own, of the range that a receiver ignores if it does
// not know them (RFC 8489 §14), let a client ask a server over TCP for what
// CHANGE-REQUEST asks over UDP: to be called from elsewhere.
//
//	CALL         4 bytes  in a request: whence to call, as flags of
//	                      CHANGE-REQUEST; in a response: whence the server can
//	CALL-RESULT  4 bytes  in the response to CALL: what became of the call from
//	                      another port, of that from another IP, two zeros
//
// The server calls the very endpoint that the connection comes from, which a
// handshake has proven, and nobody else.
const (
	attrCall       = stun.AttrType(0xC5A1)
	attrCallResult = stun.AttrType(0xC5A2)
)

// callResult is what a server met when it called.
type callResult uint8

const (
	notCalled callResult = iota
	callTaken
	callReset
	callUnreachable
	callSilent
)

// refusal gives what that says of a filter.
func (r callResult) refusal() nat.Refusal {
	switch r {
	case callReset:
		return nat.Reset
	case callUnreachable:
		return nat.Unreachable
	case callSilent:
		return nat.Dropped
	}
	return nat.RefusalUnknown
}

const (
	// callTime is how long a server waits for an answer to a call, and callAgain
	// when it sends a second SYN, since one may be lost.
	callTime  = 900 * time.Millisecond
	callAgain = 300 * time.Millisecond
	// callHold is how long a call that was taken is held at most; it ends with
	// the connection that asked for it.
	callHold = 2 * time.Second
	// mostCalls is how many calls a server makes at a time.
	mostCalls = 256
)

// call dials to from a new port of the IP from, and says what became of it. A
// connection is given back, for the caller to close when the other side has
// surely seen it.
func call(ctx context.Context, from netip.Addr, to netip.AddrPort) (callResult, *net.TCPConn) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	type end struct {
		result callResult
		conn   *net.TCPConn
	}
	ends := make(chan end, 2)
	once := func() {
		r, c := callOnce(ctx, from, to)
		ends <- end{r, c}
	}
	go once() // both end with ctx, and are waited for below
	out := end{result: callSilent}
	again := time.NewTimer(callAgain)
	defer again.Stop()
	for left := 1; left > 0; {
		select {
		case <-again.C:
			left++
			go once()
		case e := <-ends:
			left--
			switch {
			case out.result == callSilent:
				out = e
			case e.conn != nil:
				_ = e.conn.Close()
			}
			if out.result != callSilent {
				again.Stop()
				cancel()
			}
		}
	}
	return out.result, out.conn
}

func callOnce(ctx context.Context, from netip.Addr, to netip.AddrPort) (callResult, *net.TCPConn) {
	var errs errorQueue
	defer errs.close()
	d := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)),
		Control:   func(_, _ string, c syscall.RawConn) error { return errs.watch(c) },
	}
	d.SetMultipathTCP(false)
	c, err := d.DialContext(ctx, "tcp", to.String())
	switch {
	case err == nil:
		tcp := c.(*net.TCPConn)
		_ = tcp.SetLinger(0)
		return callTaken, tcp
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded), errno.Is(err, syscall.ETIMEDOUT):
		return callSilent, nil
	case errno.Is(err, syscall.ECONNREFUSED) && !errs.icmp():
		return callReset, nil
	case errno.Is(err, syscall.ECONNREFUSED), errno.Is(err, syscall.EHOSTUNREACH), errno.Is(err, syscall.ENETUNREACH),
		errno.Is(err, syscall.EACCES), errno.Is(err, syscall.ENOPROTOOPT):
		return callUnreachable, nil
	}
	return notCalled, nil // our own fault
}
