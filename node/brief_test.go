package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// TestBrief has the chains of errors that a call meets, and the one cause of each.
func TestBrief(t *testing.T) {
	key, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	peer := key.Public()
	nowhere := "no connection to " + peer.Short()
	refused := &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	brokers := &mqtt.BrokersError{Op: "open", Brokers: []mqtt.BrokerError{{Err: errors.New("dial tcp 192.0.2.1:1883: i/o timeout")}}}
	dials := errors.Join(dialError(netip.MustParseAddrPort("192.0.2.1:4001"), syscall.ECONNREFUSED), dialError(netip.MustParseAddrPort("192.0.2.2:4001"), context.DeadlineExceeded))
	call := &ConnectError{Peer: peer, Attempts: []Failure{{LAN, notTried("off")}, {Direct, dials}, {Relay, notTried("none")}}}
	moot := &ConnectError{Peer: peer, Attempts: []Failure{{LAN, notTried("off")}}}
	for _, c := range []struct {
		err  error
		want string
	}{
		{context.Canceled, "context canceled"},
		{brokers, "no broker is open"},
		{fmt.Errorf("asking: %w", brokers), "asking: no broker is open"},
		{dials, "192.0.2.1:4001: refused, and 1 more"},
		{fmt.Errorf("the proof: %w", refused), "the proof: connection reset by peer"},
		{&net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}, "no answer"},
		{call, nowhere + ": direct: 192.0.2.1:4001: refused, and 1 more"},
		{moot, nowhere + ": lan: not tried: off"},
		{&RelayNodeError{peer, call}, "by node " + peer.Short() + ": no connection to it"},
		{&ConnectError{Peer: peer, Cause: context.DeadlineExceeded}, nowhere + ": context deadline exceeded"},
	} {
		if got := brief(c.err); got != c.want {
			t.Errorf("%q of %q, not %q", got, c.err, c.want)
		}
	}
	for e, want := range map[Event]string{
		{What: "ended: refused", Err: errors.New("refused")}: "",
		{What: "ended: no broker is open", Err: brokers}:     brokers.Error(),
		{What: "dialling"}: "",
		{What: "ended: the other", Err: fmt.Errorf("%w", call)}: call.Error(),
	} {
		if got := e.Chain(); got != want {
			t.Errorf("of %q: %q", e.What, got)
		}
	}
}
