package api

import (
	"context"
	"net/http"
	"time"
)

// maxWhys is how many peers are tried at once to find out what stands between.
const maxWhys = 4

// Why asks what stands between the node and a peer.
type Why struct {
	Target    string `json:"target"`               // as of Open
	TimeoutMS int64  `json:"timeout_ms,omitempty"` // default 30000, at most 120000
}

// Validate says what is wrong with it.
func (q Why) Validate() error { return Open{Target: q.Target, TimeoutMS: q.TimeoutMS}.Validate() }

// Diagnosis is what an attempt to connect has shown, step by step.
type Diagnosis struct {
	Event    string      `json:"event"` // why
	Target   string      `json:"target"`
	Peer     string      `json:"peer,omitempty"`
	Possible bool        `json:"possible"`
	Via      string      `json:"via,omitempty"`
	By       string      `json:"by,omitempty"`    // the id of the node that relays
	Stops    string      `json:"stops,omitempty"` // the step at which it stops
	Verdict  string      `json:"verdict"`
	Hint     string      `json:"hint,omitempty"`
	Status   int         `json:"status"` // with which "sallyport connect" would exit
	Steps    []WhyStep   `json:"steps"`
	Timeline []WhyMoment `json:"timeline"`
}

// WhyStep is one step of connecting.
type WhyStep struct {
	Step  string `json:"step"`
	State string `json:"state"` // ok, failed or skipped
	What  string `json:"what"`
}

// WhyMoment is one moment of the attempt.
type WhyMoment struct {
	MS       float64 `json:"ms"`
	Strategy string  `json:"strategy,omitempty"`
	What     string  `json:"what"`
	Error    string  `json:"error,omitempty"` // all of an error that What is but a part of
}

// why calls a peer anew, whether or not there is a session with it, and says what
// that has shown. A peer that can't be reached is no error.
func (s *Server) why(w http.ResponseWriter, r *http.Request) {
	var q Why
	if !readJSON(w, r, &q) {
		return
	}
	if err := q.Validate(); err != nil {
		refuse(w, Invalid, err.Error(), "GET /openapi.json describes it")
		return
	}
	if s.cfg.Why == nil {
		refuse(w, Forbidden, "this node is not to be asked that", "")
		return
	}
	select {
	case s.whys <- struct{}{}:
		defer func() { <-s.whys }()
	default:
		refuse(w, TooMany, "so many peers are tried already", "wait for one of them")
		return
	}
	timeout := 30 * time.Second
	if q.TimeoutMS > 0 {
		timeout = time.Duration(q.TimeoutMS) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	peer, _, err := s.resolve(ctx, q.Target)
	var d Diagnosis
	if err == nil {
		d, err = s.cfg.Why(ctx, peer)
	}
	if err != nil {
		answerProblem(w, s.explain(err))
		return
	}
	d.Target = q.Target
	answer(w, http.StatusOK, d)
}
