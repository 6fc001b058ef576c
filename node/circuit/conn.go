package circuit

import (
	"net"
	"sync"

	"github.com/sallyport-net/sallyport/address"
)

// Stream is what a circuit runs over: a stream of a session.
type Stream interface {
	net.Conn
	Flush() error
	CloseNow() error
}

// Conn is a circuit, as the two have it who meet over it. What is written is
// handed to the network before Write returns, and Close waits for nothing: as
// with TCP, whose place it takes beneath a link.
type Conn struct {
	Stream
	by     address.Key
	ending func()
}

// NewConn makes a stream whose request was answered with Joined a connection. by
// is the node that relays. ended, which may be nil, is called once, at Close.
func NewConn(s Stream, by address.Key, ended func()) *Conn {
	if ended == nil {
		ended = func() {}
	}
	return &Conn{s, by, sync.OnceFunc(ended)}
}

// By is the node that relays.
func (c *Conn) By() address.Key { return c.by }

// Write writes p and waits until the network has it, until the write deadline.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.Stream.Write(p)
	if err == nil {
		err = c.Flush()
	}
	return n, err
}

// Close ends the circuit.
func (c *Conn) Close() error {
	c.ending()
	return c.CloseNow()
}
