package link

import (
	"io"
	"net"
	"sync"
)

// whole is a connection whose end is an error. crypto/tls takes the end of a
// TCP connection between two records for the end of the stream, though
// RFC 8446 §6.1 calls that a truncation; behind this it sees an end in
// close_notify alone.
//
// It can also hold writes back, to hand several records to the network at once.
type whole struct {
	net.Conn

	mu   sync.Mutex // guards what follows
	held *batch     // nil while nothing is held back
}

// batchSize is how much is held back at most.
const batchSize = 128 << 10

type batch struct {
	bytes [batchSize]byte
	n     int
}

var batches = sync.Pool{New: func() any { return new(batch) }}

func (w *whole) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err == io.EOF {
		err = ErrCut
	}
	return n, err
}

// Write writes p, or keeps a copy of it while writes are held back.
func (w *whole) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held == nil {
		return w.Conn.Write(p)
	}
	if w.held.n+len(p) > batchSize {
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	if len(p) > batchSize {
		return w.Conn.Write(p)
	}
	w.held.n += copy(w.held.bytes[w.held.n:], p)
	return len(p), nil
}

// hold keeps writes back until release.
func (w *whole) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = batches.Get().(*batch)
}

// release writes what is held back.
func (w *whole) release() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.flush()
	batches.Put(w.held)
	w.held = nil
	return err
}

func (w *whole) flush() error {
	n := w.held.n
	w.held.n = 0
	if n == 0 {
		return nil
	}
	_, err := w.Conn.Write(w.held.bytes[:n])
	return err
}

// NetConn is the connection beneath.
func (w *whole) NetConn() net.Conn { return w.Conn }
