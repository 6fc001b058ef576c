package probe

import (
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// pressed is a listener in a process that has no descriptor left.
type pressed struct {
	net.Listener
	calls  atomic.Int64
	closed atomic.Bool
}

func (p *pressed) Accept() (net.Conn, error) {
	if p.closed.Load() {
		return nil, net.ErrClosed
	}
	p.calls.Add(1)
	return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
}

func TestOwnPortRestsWithoutDescriptors(t *testing.T) {
	p := &pressed{}
	o := &ownPort{listener: p, came: make(chan struct{})}
	begun := time.Now()
	o.accepts.Go(o.accept)
	for p.calls.Load() < 5 {
		time.Sleep(time.Millisecond)
	}
	p.closed.Store(true)
	o.accepts.Wait()
	if calls, most := p.calls.Load(), int64(time.Since(begun)/acceptPause)+1; calls > most {
		t.Errorf("it was asked %d times in %v", calls, time.Since(begun))
	}
}
