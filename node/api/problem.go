package api

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/sallyport-net/sallyport/node"
)

// Problem is an error as clients get it: what happened in one sentence, and one
// thing to try.
type Problem struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
	// Code is one of the Code constants.
	Code Code `json:"code"`
	// Attempts is what each strategy met, where it is a call that failed.
	Attempts []Attempt `json:"attempts,omitempty"`
}

// Attempt is what one strategy met.
type Attempt struct {
	Strategy string `json:"strategy"`
	Error    string `json:"error"`
}

// Code says what kind of problem it is. They are a promise to programs.
type Code string

const (
	Invalid   Code = "invalid"    // the request is malformed
	Forbidden Code = "forbidden"  // it may not be made: no token, a foreign page
	NotFound  Code = "not_found"  // there is no such route or connection
	Conflict  Code = "conflict"   // the name is taken, or the direction is in use
	TooMany   Code = "too_many"   // a limit is reached
	Ended     Code = "ended"      // the connection is over
	WrongCode Code = "wrong_code" // of a one-time code
	Absent    Code = "absent"     // the peer does not answer
	NoNetwork Code = "no_network" // nothing can be reached
	Refused   Code = "refused"    // by the peer
	Failed    Code = "failed"     // anything else
)

var statusOf = map[Code]int{
	Invalid: http.StatusBadRequest, Forbidden: http.StatusForbidden, NotFound: http.StatusNotFound,
	Conflict: http.StatusConflict, TooMany: http.StatusTooManyRequests, Ended: http.StatusGone,
	WrongCode: http.StatusUnprocessableEntity, Absent: http.StatusGatewayTimeout,
	NoNetwork: http.StatusServiceUnavailable, Refused: http.StatusBadGateway, Failed: http.StatusBadGateway,
}

// plainProblem explains an error by itself.
func plainProblem(err error) Problem {
	p := Problem{Error: err.Error(), Code: Failed}
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		p.Hint = h.Hint()
	}
	var call *node.ConnectError
	if errors.As(err, &call) {
		for _, a := range call.Attempts {
			p.Attempts = append(p.Attempts, Attempt{string(a.Strategy), a.Err.Error()})
		}
	}
	return p
}

// refuse answers with a problem.
func refuse(w http.ResponseWriter, code Code, what, hint string) {
	answerProblem(w, Problem{Error: what, Hint: hint, Code: code})
}

func answerProblem(w http.ResponseWriter, p Problem) {
	status, known := statusOf[p.Code]
	if !known {
		p.Code, status = Failed, http.StatusBadGateway
	}
	answer(w, status, p)
}

// answer answers with JSON.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
