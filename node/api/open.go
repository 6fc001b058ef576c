package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"regexp"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/link"
)

// verdictWait is how long a peer that was reached has to say whether it admits
// us.
const verdictWait = 10 * time.Second

// Open asks for a connection.
type Open struct {
	Target    string `json:"target"`               // an address in any form, a node id, a nickname or a contact
	Name      string `json:"name,omitempty"`       // what to call the connection; default: c1, c2, …
	Echo      bool   `json:"echo,omitempty"`       // the peer's node sends everything back
	TimeoutMS int64  `json:"timeout_ms,omitempty"` // default 30000, at most 120000
}

// names of connections are short, and stand in URLs as they are.
var names = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// Validate says what is wrong with it.
func (o Open) Validate() error {
	switch {
	case o.Target == "" || len(o.Target) > address.MaxLength:
		return errors.New("the target is missing, or too long")
	case o.Name != "" && !names.MatchString(o.Name):
		return errors.New("a name is 1 to 32 letters, digits, _ and -")
	case o.TimeoutMS < 0 || o.TimeoutMS > longestWait.Milliseconds():
		return errors.New("a timeout is 0 to 120000 ms")
	}
	return nil
}

func (s *Server) open(w http.ResponseWriter, r *http.Request) {
	var o Open
	if !readJSON(w, r, &o) {
		return
	}
	if err := o.Validate(); err != nil {
		refuse(w, Invalid, err.Error(), "GET /openapi.json describes it")
		return
	}
	h, err := s.held.reserve(o.Name)
	switch {
	case errors.Is(err, errTaken):
		refuse(w, Conflict, "there is a connection of that name already", "choose another name, or none")
		return
	case err != nil:
		refuse(w, TooMany, err.Error(), "close one that is not needed")
		return
	}
	defer s.held.free(h)
	timeout := 30 * time.Second
	if o.TimeoutMS > 0 {
		timeout = time.Duration(o.TimeoutMS) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	conn, err := s.connect(ctx, o)
	if err != nil {
		answerProblem(w, s.explain(err))
		return
	}
	h.echo = o.Echo
	s.held.fill(h, conn, s.cfg.Node.SessionNumber(conn), true)
	answer(w, http.StatusCreated, h.describe())
}

// connect calls the peer, and waits for its yes.
func (s *Server) connect(ctx context.Context, o Open) (*node.Conn, error) {
	peer, warning, err := s.resolve(ctx, o.Target)
	if err != nil {
		return nil, err
	}
	if warning != "" {
		s.cfg.Logger.Warn(warning)
	}
	call := s.cfg.Node.ConnectAddress
	if o.Echo {
		call = s.cfg.Node.Ping
	}
	conn, err := call(ctx, peer)
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadDeadline(time.Now().Add(verdictWait))
	stop := context.AfterFunc(s.ctx, func() { _ = conn.Close() })
	defer stop()
	if err := conn.Verdict(); err != nil {
		_ = conn.Close()
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			err = errSilent
		}
		return nil, err
	}
	_ = conn.SetReadDeadline(time.Time{})
	return conn, nil
}

var errSilent = errors.New("the peer has proved its key, and then fell silent")

func (s *Server) resolve(ctx context.Context, target string) (address.Address, string, error) {
	if len(target) > address.MaxLength {
		return address.Address{}, "", errors.New("the target is too long")
	}
	if s.cfg.Resolve != nil {
		return s.cfg.Resolve(ctx, target)
	}
	a, err := address.Parse(target)
	return a, "", err
}

// explain puts an error into words, and sees to it that the code is right where
// this package knows better.
func (s *Server) explain(err error) Problem {
	var parse *address.ParseError
	switch {
	case errors.As(err, &parse):
		return Problem{Error: parse.Error(), Hint: "copy the whole address again", Code: Invalid}
	case errors.Is(err, link.ErrRefused):
		return Problem{Error: "the peer refuses this node", Hint: "ask the peer to admit this node's id", Code: Refused}
	}
	p := s.cfg.Explain(err)
	if len(p.Attempts) == 0 {
		p.Attempts = plainProblem(err).Attempts
	}
	return p
}
