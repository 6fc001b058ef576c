package api

import (
	"errors"
	"fmt"

	"github.com/sallyport-net/sallyport/address"
)

const (
	maxForwardings = 16  // at once
	maxForwards    = 64  // of each
	maxPlace       = 300 // bytes of a HOST:PORT
)

// Forwarding asks for ports that lead to a peer, or from there to here.
type Forwarding struct {
	Target    string    `json:"target"` // as of Open
	Forwards  []Forward `json:"forwards"`
	TimeoutMS int64     `json:"timeout_ms,omitempty"` // for the peer to be reached; default 30000, at most 120000
}

// Forward is one port that leads elsewhere.
type Forward struct {
	Kind string `json:"kind"`         // local, remote or socks
	Bind string `json:"bind"`         // IP:PORT to listen on; port 0 is any
	To   string `json:"to,omitempty"` // HOST:PORT; without one a local forward leads to what the peer's node is for
}

// Kinds of forwards.
const (
	LocalForward  = "local"  // a port here, a service at the peer
	RemoteForward = "remote" // a port at the peer, a service here
	SOCKSForward  = "socks"  // a port here, whatever its clients ask for at the peer
)

// Validate says what is wrong with it, as far as that can be told without
// looking names up.
func (f Forwarding) Validate() error {
	switch {
	case f.Target == "" || len(f.Target) > address.MaxLength:
		return errors.New("the target is missing, or too long")
	case len(f.Forwards) == 0 || len(f.Forwards) > maxForwards:
		return fmt.Errorf("there are 1 to %d forwards", maxForwards)
	case f.TimeoutMS < 0 || f.TimeoutMS > longestWait.Milliseconds():
		return errors.New("a timeout is 0 to 120000 ms")
	}
	for _, one := range f.Forwards {
		switch {
		case one.Kind != LocalForward && one.Kind != RemoteForward && one.Kind != SOCKSForward:
			return errors.New("a forward's kind is local, remote or socks")
		case len(one.Bind) > maxPlace || len(one.To) > maxPlace:
			return errors.New("a place is too long")
		case one.Kind == SOCKSForward && one.To != "", one.Kind == RemoteForward && one.To == "":
			return errors.New("only remote and local forwards lead to one place, and remote ones must")
		}
	}
	return nil
}

// ForwardEvent is one line of the answer to a Forwarding; which fields are set
// depends on its name:
//
//	connected  Peer, Via, Remote, MS       the peer was reached
//	listening  Kind, Bind, To              a forward is ready, or is so again
//	opened     Number, Kind, From, To      a connection
//	closed     Number, To, MS, Received, Sent; Error, Hint, Refused where it failed
//	reset      From, Error                 a connection for which nothing was done
//	path       State, Via, Remote, MS      the path is lost, back, or has moved
//	gone       Error                       the peer is gone, and is called again
//	retry      Error, MS, Kind             not there yet: again in MS
//	back       Via, Remote, MS             it is there again
//	failed     Error, Hint, Code, Attempts the last line, where it is not the client that ends it
type ForwardEvent struct {
	Event    string    `json:"event"`
	Dropped  int       `json:"dropped,omitempty"` // so many were lost before this one
	Peer     string    `json:"peer,omitempty"`
	Via      string    `json:"via,omitempty"`
	By       string    `json:"by,omitempty"` // the id of the node that relays
	Remote   string    `json:"remote,omitempty"`
	State    string    `json:"state,omitempty"`
	Kind     string    `json:"kind,omitempty"`
	Bind     string    `json:"bind,omitempty"`
	Number   int       `json:"number,omitempty"`
	From     string    `json:"from,omitempty"`
	To       string    `json:"to,omitempty"`
	MS       float64   `json:"ms,omitempty"`
	Received int64     `json:"received,omitempty"`
	Sent     int64     `json:"sent,omitempty"`
	Refused  bool      `json:"refused,omitempty"` // by the peer, for the destination's sake
	Error    string    `json:"error,omitempty"`
	Hint     string    `json:"hint,omitempty"`
	Code     Code      `json:"code,omitempty"`
	Attempts []Attempt `json:"attempts,omitempty"`
}
