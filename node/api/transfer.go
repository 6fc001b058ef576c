package api

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/sallyport-net/sallyport/node/session"
)

const (
	defaultMost = 64 << 10 // bytes of a receive
	defaultWait = 10 * time.Second
)

// with finds the connection that a route is about.
func with(handle func(*Server, http.ResponseWriter, *http.Request, *held)) func(*Server, http.ResponseWriter, *http.Request) {
	return func(s *Server, w http.ResponseWriter, r *http.Request) {
		h, done := s.held.find(r.PathValue("name"))
		if h == nil {
			w.Header().Set("Connection", "close")
			refuse(w, NotFound, "there is no connection of that name", "GET /v1/connections lists them")
			return
		}
		defer done()
		handle(s, w, r, h)
	}
}

func (s *Server) connections(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, list(s.held.all(), (*held).describe))
}

func (s *Server) info(w http.ResponseWriter, _ *http.Request, h *held) {
	answer(w, http.StatusOK, h.describe())
}

func (s *Server) close(w http.ResponseWriter, _ *http.Request, h *held) {
	s.held.end(h, false, "")
	w.WriteHeader(http.StatusNoContent)
}

// Sent is the answer to a send.
type Sent struct {
	Sent int `json:"sent"` // bytes
}

// send sends the body, and with ?end=true the end. It returns when the node has
// taken all: what the peer is slow to read is waited for.
func (s *Server) send(w http.ResponseWriter, r *http.Request, h *held) {
	end, err := boolean(r, "end")
	if err != nil {
		refuse(w, Invalid, err.Error(), "")
		return
	}
	b, ok := readBody(w, r, maxData)
	if !ok {
		return
	}
	if !seize(h.sending) {
		refuse(w, Conflict, "somebody else is sending on this connection", "wait for the other send or tunnel to end")
		return
	}
	defer release(h.sending)
	_ = h.conn.SetWriteDeadline(time.Now().Add(longestWait))
	over := atEnd(r.Context(), func() { _ = h.conn.SetWriteDeadline(time.Unix(1, 0)) })
	n, err := h.conn.Write(b)
	over()
	_ = h.conn.SetWriteDeadline(time.Time{})
	h.sent.Add(uint64(n))
	if err == nil && end {
		err = h.conn.CloseWrite()
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		refuse(w, Failed, "the peer does not read: "+strconv.Itoa(n)+" bytes were taken", "send the rest later")
	case err != nil:
		s.over(w, h, err)
	default:
		answer(w, http.StatusOK, Sent{n})
	}
}

// over answers that a connection can't be used any more in that direction, and
// forgets one that is lost.
func (s *Server) over(w http.ResponseWriter, h *held, err error) {
	if errors.Is(err, session.ErrPeerClosed) {
		refuse(w, Ended, "the peer takes no more", "receive what is left, and close the connection")
		return
	}
	why := plainly(err)
	s.held.end(h, true, why)
	refuse(w, Ended, why, "open another connection")
}

// receive gives what has come, of ?max=BYTES at most, and waits for the first
// byte up to ?timeout_ms. Nothing in time is 204; the peer's end is 200 without a
// byte, and the header Sallyport-End.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, h *held) {
	most, err := number(r, "max", defaultMost, 1, maxData)
	wait, err2 := number(r, "timeout_ms", defaultWait.Milliseconds(), 0, longestWait.Milliseconds())
	if err = errors.Join(err, err2); err != nil {
		refuse(w, Invalid, err.Error(), "")
		return
	}
	if !seize(h.receiving) {
		refuse(w, Conflict, "somebody else is receiving on this connection", "wait for the other receive or tunnel to end")
		return
	}
	defer release(h.receiving)
	// A wait of nothing still reads what is there.
	_ = h.conn.SetReadDeadline(time.Now().Add(max(time.Duration(wait)*time.Millisecond, time.Millisecond)))
	defer atEnd(r.Context(), func() { _ = h.conn.SetReadDeadline(time.Unix(1, 0)) })()
	b := make([]byte, most)
	n, err := h.conn.Read(b)
	switch {
	case n > 0:
		h.received.Add(uint64(n))
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(n))
		_, _ = w.Write(b[:n])
	case errors.Is(err, io.EOF):
		h.ended.Store(true)
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Sallyport-End", "true")
		w.WriteHeader(http.StatusOK)
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.WriteHeader(http.StatusNoContent)
	default:
		s.over(w, h, err)
	}
}

// atEnd runs f when ctx ends. Once over has returned it does not, and has not
// begun to: what it does would otherwise befall whoever comes next.
func atEnd(ctx context.Context, f func()) (over func()) {
	ran := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ran)
		f()
	})
	return func() {
		if !stop() {
			<-ran
		}
	}
}

// plainly puts the end of a connection into words.
func plainly(err error) string {
	switch {
	case errors.Is(err, session.ErrPeerClosed):
		return "the peer closed the connection before all was sent"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was cut"
	case errors.Is(err, net.ErrClosed):
		return "the connection was closed"
	}
	return err.Error()
}

// number reads a parameter of the query.
func number(r *http.Request, name string, usual, least, most int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return usual, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, errors.New(name + " is a number from " + strconv.FormatInt(least, 10) + " to " + strconv.FormatInt(most, 10))
	}
	return n, nil
}

func boolean(r *http.Request, name string) (bool, error) {
	switch r.URL.Query().Get(name) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, errors.New(name + " is true or false")
}
