package pipe

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat/errno"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/nodetest"
)

// patience is after what time a test gives up waiting for something.
const patience = time.Minute

// joined is a peer and a service with a Join between them.
type joined struct {
	peer    *node.Conn   // the peer's own end
	service *net.TCPConn // the service's own end
	over    chan Traffic
}

// join makes one from a fresh connection to a peer.
func join(t *testing.T, here *node.Node, there *node.Node, accepted <-chan net.Conn) *joined {
	t.Helper()
	c, err := here.ConnectAddress(t.Context(), there.Address())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	local, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	service, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	j := &joined{peer: (<-accepted).(*node.Conn), service: service.(*net.TCPConn), over: make(chan Traffic, 1)}
	t.Cleanup(func() { j.peer.Close(); j.service.Close() })
	for _, end := range []net.Conn{j.peer, j.service} {
		if err := end.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	go func() { j.over <- Join(c, local.(*net.TCPConn)) }()
	return j
}

// end waits until the Join has ended.
func (j *joined) end(t *testing.T) Traffic {
	t.Helper()
	select {
	case traffic := <-j.over:
		return traffic
	case <-time.After(patience):
		t.Fatal("the join does not end")
		return Traffic{}
	}
}

func say(t *testing.T, c interface {
	io.Writer
	CloseWrite() error
}, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c io.Reader, want string) {
	t.Helper()
	if got, err := io.ReadAll(c); string(got) != want || err != nil {
		t.Errorf("heard %q, %v, want %q", got, err, want)
	}
}

func TestJoin(t *testing.T) {
	cfg := nodetest.Config(t)
	here, there := nodetest.Start(t, cfg), nodetest.Start(t, cfg)
	accepted := nodetest.Accept(t, there)

	t.Run("each direction ends by itself", func(t *testing.T) {
		j := join(t, here, there, accepted)
		say(t, j.peer, "question")
		hear(t, j.service, "question")
		say(t, j.service, "the answer")
		hear(t, j.peer, "the answer")
		if got := j.end(t); got != (Traffic{Received: 8, Sent: 10}) {
			t.Errorf("the traffic is %+v", got)
		}
	})
	t.Run("a peer that is cut off is no end for the service", func(t *testing.T) {
		j := join(t, here, there, accepted)
		if _, err := io.WriteString(j.peer, "half"); err != nil {
			t.Fatal(err)
		}
		half := make([]byte, 4)
		if _, err := io.ReadFull(j.service, half); err != nil {
			t.Fatal(err)
		}
		Cut(j.peer)
		if _, err := j.service.Read(half); !errno.Is(err, syscall.ECONNRESET) {
			t.Errorf("the service reads %v", err)
		}
		if got := j.end(t); got.Received != 4 || got.Err == nil || Plainly(got.Err) != "the connection was cut" {
			t.Errorf("the traffic is %+v", got)
		}
	})
	t.Run("a service that is cut off is no end for the peer", func(t *testing.T) {
		j := join(t, here, there, accepted)
		if _, err := io.WriteString(j.service, "half"); err != nil {
			t.Fatal(err)
		}
		half := make([]byte, 4)
		if _, err := io.ReadFull(j.peer, half); err != nil {
			t.Fatal(err)
		}
		Abort(j.service)
		if _, err := j.peer.Read(half); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("the peer reads %v", err)
		}
		if got := j.end(t); got.Sent != 4 || !errno.Is(got.Err, syscall.ECONNRESET) {
			t.Errorf("the traffic is %+v", got)
		}
	})
	t.Run("a peer that closes altogether ends what the service has to say", func(t *testing.T) {
		j := join(t, here, there, accepted)
		_ = j.peer.Close()
		hear(t, j.service, "")
		chunk := []byte(strings.Repeat("x", 64<<10))
		for {
			if _, err := j.service.Write(chunk); err != nil {
				if errors.Is(err, net.ErrClosed) || errno.Is(err, syscall.ETIMEDOUT) {
					t.Errorf("the service writes %v", err)
				}
				break
			}
		}
		j.end(t)
	})
}
