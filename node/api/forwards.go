package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// ForwardHeader has the name of a forwarding, in the answer to it.
const ForwardHeader = "Sallyport-Forward"

// forwardBuffer is how many events of a forwarding wait for a client that is slow.
const forwardBuffer = 256

var errForwardEnded = errors.New("the forward was ended by another command")

// ForwardState is a forwarding as it stands.
type ForwardState struct {
	Name     string    `json:"name"`
	Peer     string    `json:"peer"`
	Since    time.Time `json:"since"`
	Forwards []Forward `json:"forwards"` // those that are ready, and where they listen
	Open     int       `json:"open"`     // connections
}

// forwarding is one that is under way. It ends with the request that has begun
// it, so that none is left behind by a client that was killed.
type forwarding struct {
	cancel context.CancelCauseFunc
	done   chan struct{}

	mu      sync.Mutex
	state   ForwardState
	events  chan ForwardEvent
	closed  bool
	dropped int
}

// tell notes an event and hands it to the client, unless that is too slow. It
// never blocks.
func (f *forwarding) tell(e ForwardEvent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch e.Event {
	case "listening":
		if one := (Forward{e.Kind, e.Bind, e.To}); !slices.Contains(f.state.Forwards, one) { // else it is so again
			f.state.Forwards = append(f.state.Forwards, one)
		}
	case "gone":
		f.state.Forwards = slices.DeleteFunc(f.state.Forwards, func(o Forward) bool { return o.Kind == RemoteForward })
	case "opened":
		f.state.Open++
	case "closed":
		f.state.Open--
	}
	if f.closed {
		return
	}
	e.Dropped = f.dropped
	select {
	case f.events <- e:
		f.dropped = 0
	default:
		f.dropped++
	}
}

// end is for when nothing more is to be told.
func (f *forwarding) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	close(f.events)
}

func (f *forwarding) describe() ForwardState {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.state
	s.Forwards = slices.Clone(s.Forwards)
	return s
}

// forwardings are those under way, by name.
type forwardings struct {
	mu     sync.Mutex
	byName map[string]*forwarding
	next   int
}

// begin gives a new one a name; nil where there are too many.
func (l *forwardings) begin(peer string, cancel context.CancelCauseFunc) *forwarding {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.byName) >= maxForwardings {
		return nil
	}
	l.next++
	f := &forwarding{cancel: cancel, done: make(chan struct{}), events: make(chan ForwardEvent, forwardBuffer)}
	f.state = ForwardState{Name: fmt.Sprintf("f%d", l.next), Peer: peer, Since: time.Now().UTC(), Forwards: []Forward{}}
	if l.byName == nil {
		l.byName = make(map[string]*forwarding)
	}
	l.byName[f.state.Name] = f
	return f
}

// forget is for one that has ended.
func (l *forwardings) forget(f *forwarding) {
	l.mu.Lock()
	delete(l.byName, f.state.Name)
	l.mu.Unlock()
	close(f.done)
}

func (l *forwardings) find(name string) *forwarding {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byName[name]
}

// all gives them, the oldest first.
func (l *forwardings) all() []*forwarding {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []*forwarding
	for _, f := range l.byName {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b *forwarding) int {
		return cmp.Or(a.state.Since.Compare(b.state.Since), cmp.Compare(a.state.Name, b.state.Name))
	})
	return list
}

func (s *Server) forwardList(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, list(s.forwards.all(), (*forwarding).describe))
}

// forwardEnd ends a forwarding, and answers when it listens nowhere any more.
func (s *Server) forwardEnd(w http.ResponseWriter, r *http.Request) {
	f := s.forwards.find(r.PathValue("name"))
	if f == nil {
		refuse(w, NotFound, "there is no forward of that name", "GET /v1/forwards lists them")
		return
	}
	f.cancel(errForwardEnded)
	select {
	case <-f.done:
		w.WriteHeader(http.StatusNoContent)
	case <-r.Context().Done():
	}
}

// forward forwards for as long as the request lasts. The answer is a JSON object
// on a line of its own for each event, and begins with the first of them: what
// fails before that is a Problem.
func (s *Server) forward(w http.ResponseWriter, r *http.Request) {
	var want Forwarding
	if !readJSON(w, r, &want) {
		return
	}
	if err := want.Validate(); err != nil {
		refuse(w, Invalid, err.Error(), "GET /openapi.json describes it")
		return
	}
	if s.cfg.Forward == nil {
		refuse(w, Forbidden, "this node is not to forward anything", "")
		return
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	peer, _, err := s.resolve(ctx, want.Target)
	if err != nil {
		answerProblem(w, s.explain(err))
		return
	}
	f := s.forwards.begin(peer.Key.String(), cancel)
	if f == nil {
		refuse(w, TooMany, "there are so many forwards already", "end one that is not needed")
		return
	}
	defer s.forwards.forget(f)
	failed := make(chan error, 1)
	if !s.spawn(func() {
		err := s.cfg.Forward(ctx, peer, want, f.tell)
		if cause := context.Cause(ctx); cause != nil && errors.Is(cause, errForwardEnded) {
			err = cause
		}
		failed <- err
		f.end()
	}) {
		refuse(w, Ended, errClosing.Error(), "")
		return
	}
	began := s.relay(w, f)
	p := s.explain(<-failed)
	if p.Error == errForwardEnded.Error() {
		p.Code = Ended
	}
	switch {
	case r.Context().Err() != nil:
	case !began:
		answerProblem(w, p)
	default:
		_ = json.NewEncoder(w).Encode(ForwardEvent{Event: "failed", Error: p.Error, Hint: p.Hint, Code: p.Code, Attempts: p.Attempts})
	}
}

// relay writes the events until there are no more, and reports whether there was
// one. Where the client takes no more, the forwarding ends.
func (s *Server) relay(w http.ResponseWriter, f *forwarding) (began bool) {
	control := http.NewResponseController(w)
	for e := range f.events {
		_ = control.SetWriteDeadline(time.Now().Add(answerTime))
		if !began {
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.Header().Set(ForwardHeader, f.state.Name)
			w.WriteHeader(http.StatusOK)
			began = true
		}
		if json.NewEncoder(w).Encode(e) != nil || control.Flush() != nil {
			f.cancel(errHungUp)
		}
	}
	return began
}

// spawn runs f in a goroutine that Close waits for. It reports whether it did.
func (s *Server) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.all.Go(f)
	return true
}
