package api

import (
	"net/http"
	"time"

	"github.com/sallyport-net/sallyport/node"
)

// Relaying is what a node relays for others, and has relayed since it began.
type Relaying struct {
	For      string    `json:"for"`      // nobody, listed or everyone
	Circuits []Circuit `json:"circuits"` // that there are now
	Carried  uint64    `json:"carried"`  // circuits, those of now included
	There    uint64    `json:"there"`    // bytes from callers to callees, of all
	Back     uint64    `json:"back"`     // bytes
	Declined Declined  `json:"declined"`
}

// Circuit is one that the node relays.
type Circuit struct {
	Circuit int       `json:"circuit"`
	Caller  string    `json:"caller"`
	Callee  string    `json:"callee"`
	Since   time.Time `json:"since"`
	There   uint64    `json:"there"` // bytes from the caller to the callee
	Back    uint64    `json:"back"`  // bytes
}

// Declined counts requests for circuits that came to nothing, by their answers.
type Declined struct {
	Refused     uint64 `json:"refused"`     // not relayed for
	Busy        uint64 `json:"busy"`        // a quota is used up
	Absent      uint64 `json:"absent"`      // there is no way to the callee
	Unsupported uint64 `json:"unsupported"` // no request came, or none that is known
}

func relayingOf(r node.RelayingState) Relaying {
	who := "listed"
	switch {
	case r.For.IsZero():
		who = "nobody"
	case r.For.Everyone():
		who = "everyone"
	}
	return Relaying{
		For: who, Circuits: list(r.Circuits, circuitOf), Carried: r.Carried, There: r.There, Back: r.Back, Declined: Declined(r.Declined),
	}
}

func circuitOf(c node.CircuitState) Circuit {
	return Circuit{c.Number, c.Caller.String(), c.Callee.String(), c.Since.UTC(), c.There, c.Back}
}

func (s *Server) relaying(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, relayingOf(s.cfg.Node.Relaying()))
}
