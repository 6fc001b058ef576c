package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/transfer"
)

const (
	// firstWait is how long the other side may take to come, by default.
	firstWait = 2 * time.Minute
	// againWait is how long it may take to come back.
	againWait = 10 * time.Minute
	// callTime bounds each of several calls in a row.
	callTime = 15 * time.Second
	// callPause is between them.
	callPause = 500 * time.Millisecond
)

// move is one end of a transfer, sending or receiving, over as many connections
// as it takes.
type move struct {
	*app
	flags    *nodeFlags
	sending  bool
	progress *transfer.Progress
	// carry does the transfer over one connection.
	carry func(context.Context, *node.Conn) error
	// patient has it wait on after failures that are another peer's fault.
	patient bool
	coded   bool   // the other side has a code of ours
	absent  string // what is said while nobody comes
	final   bool   // nothing can go on from here
}

// other is what people call the other side.
func (m *move) other() string {
	if m.sending {
		return "receiver"
	}
	return "sender"
}

// done is how much of it has arrived, in percent.
func (m *move) done() int64 {
	s := m.progress.State()
	if s.Stage == transfer.Meeting {
		return 0 // of what is not known
	}
	return percent(s.Arrived, s.Size)
}

// stopped says how far it had come, if that is known.
func (m *move) stopped() string {
	if s := m.progress.State(); s.Stage < transfer.Moving && s.Arrived == 0 {
		return "stopped"
	}
	return fmt.Sprintf("stopped at %d%%", m.done())
}

// tellStopped is for whoever stopped it here.
func (m *move) tellStopped() {
	m.say("S%s. To go on, run the same command again.", m.stopped()[1:])
}

// goesOn reports whether another connection may help.
func goesOn(err error) bool {
	var stop *transfer.StopError
	var rules *transfer.ProtocolError
	var path *fs.PathError
	var link *os.LinkError
	var f *failure
	switch {
	case errors.As(err, &stop):
		return stop.Remote && (stop.Reason == transfer.Paused || stop.Reason == transfer.Unattended)
	case errors.As(err, &rules), errors.As(err, &path), errors.As(err, &link), errors.Is(err, transfer.ErrNoTransfer), errors.Is(err, transfer.ErrOtherVersion):
		return false
	case errors.As(err, &f):
		return f.status == statusFailed || f.status == statusAbsent
	}
	return true
}

// fullHere reports whether the disk here has to have room before the same can go
// on.
func fullHere(err error) bool {
	var stop *transfer.StopError
	return errors.As(err, &stop) && !stop.Remote && stop.Reason == transfer.Paused
}

// over does the transfer over c, and ends that.
func (m *move) over(ctx context.Context, c *node.Conn) error {
	asking := ""
	if m.sending {
		asking = "Waiting for the receiver, who may still have to say yes."
	}
	stop := m.showProgress(m.progress, asking)
	err := m.carry(ctx, c)
	stop()
	var told *transfer.StopError
	switch {
	case err == nil, errors.As(err, &told), ctx.Err() != nil:
		pipe.Leave(c) // it may not have heard yet
	default:
		pipe.Cut(c)
	}
	return err
}

// tellBreak says that it goes on when the other side is back.
func (m *move) tellBreak(err error) {
	var stop *transfer.StopError
	why := ""
	if errors.As(err, &stop) && stop.Reason == transfer.Paused && stop.Text != "" {
		why = ", since it says: " + stop.Text
	}
	switch {
	case stop != nil && stop.Reason == transfer.Unattended:
		m.say("Nobody is there to say yes; they can run the same command again with --yes.")
	case m.coded:
		m.say("The receiver %s%s. Keeping the code open for %v; they can run the same command again.", m.stopped(), why, short(againWait))
	default:
		m.say("The %s %s%s. Waiting for up to %v; they can run the same command again.", m.other(), m.stopped(), why, short(againWait))
	}
	if m.json {
		emit(m.err, brokenEvent{"broken", m.done(), pipe.Plainly(err)})
	}
	if m.verbose {
		m.say("cause: %v", err)
	}
}

// short gives "10 min" and the like.
func short(d time.Duration) string {
	switch {
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return d.String()
}

// brokenEvent is a transfer that waits for the other side to come back.
type brokenEvent struct {
	Event   string `json:"event"`
	Percent int64  `json:"percent"`
	Error   string `json:"error"`
}

// nobody is the failure of a wait.
func (m *move) nobody(wait time.Duration, again bool) error {
	f := &failure{status: statusAbsent, what: fmt.Sprintf("no %s came within %v", m.other(), short(wait)), hint: "try again, and longer with --wait"}
	if again {
		f.what = fmt.Sprintf("the %s did not come back within %v", m.other(), short(wait))
		f.hint = "run the same command again when they do; what has arrived is kept"
	}
	return f
}

// welcome waits for the other side to call, for as long as wait at first. only
// is who it must be; zero means anybody, one at a time.
func (m *move) welcome(ctx context.Context, n *node.Node, only address.Key, wait time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	came := make(chan *node.Conn)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		m.accept(ctx, n, only, came)
	}()
	stop := context.AfterFunc(ctx, func() { _ = n.Close() })
	defer func() { cancel(); stop(); _ = n.Close(); <-gone }()

	var now *node.Conn // that it goes over
	var end context.CancelFunc
	ended := make(chan error, 1)
	begin := func(c *node.Conn) {
		var one context.Context
		one, end = context.WithCancel(ctx)
		now = c
		m.tellCame(c)
		go m.watchPath(c) // ends with c
		go func() { ended <- m.over(one, c) }()
	}
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	again := false
	silent := m.tellIdle(m.absent)
	defer func() { silent() }()
	for {
		select {
		case c := <-came:
			if now != nil && c.Peer() != now.Peer() {
				refuseBusy(ctx, c)
				continue
			}
			if now != nil {
				// It has begun anew, and knows better than we that the
				// connection from before is dead.
				pipe.Cut(now)
				end()
				<-ended
			}
			silent()
			silent = func() {}
			deadline.Stop()
			begin(c)
		case err := <-ended:
			end()
			peer := now.Peer()
			now = nil
			switch {
			case err == nil:
				return nil
			case ctx.Err() != nil:
				return ctx.Err()
			case goesOn(err):
				m.tellBreak(err)
				if only.IsZero() {
					only = peer // it has begun
				}
				wait, again = againWait, true
			case !m.patient, fullHere(err):
				m.final = !fullHere(err)
				return m.explain(err)
			default:
				m.say("Nothing came of %s: %s. Still waiting.", peer.Short(), m.explain(err))
				wait, again = againWait, false
			}
			deadline.Reset(wait)
		case <-deadline.C:
			return m.nobody(wait, again)
		case <-ctx.Done():
			if now != nil {
				end()
				<-ended
			}
			return ctx.Err()
		}
	}
}

// accept hands on the connections of whom we want, until ctx or the node ends.
func (m *move) accept(ctx context.Context, n *node.Node, only address.Key, came chan<- *node.Conn) {
	for {
		conn, err := n.Accept()
		if err != nil {
			return
		}
		c := conn.(*node.Conn)
		if !only.IsZero() && c.Peer() != only {
			pipe.Cut(c)
			continue
		}
		select {
		case came <- c:
		case <-ctx.Done():
			pipe.Cut(c)
			return
		}
	}
}

// refuseBusy turns a second peer away while there is one. It is bounded by its
// few bytes.
func refuseBusy(ctx context.Context, c *node.Conn) {
	transfer.Refuse(ctx, c, &transfer.StopError{Reason: transfer.Busy})
	_ = c.Close()
}

func (m *move) tellCame(c *node.Conn) {
	if m.json {
		emit(m.err, connectedEvent{"connected", string(c.Via()), c.RemoteAddr().String(), c.Peer().String(), 0, c.By().String()})
		return
	}
	m.say("Connected with %s at %s.", c.Peer().Short(), c.RemoteAddr())
}

// explain puts the end of a transfer into words and an exit status.
func (m *move) explain(err error) *failure {
	var stop *transfer.StopError
	var path *fs.PathError
	var link *os.LinkError
	var f *failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, transfer.ErrNoTransfer):
		return &failure{status: statusFailed, what: "the peer is there, and does not receive files", hint: `try to start "sallyport receive" there`, cause: err}
	case errors.Is(err, transfer.ErrOtherVersion):
		return &failure{status: statusFailed, what: "the other side's version receives files in another way", hint: "try with the same version on both sides", cause: err}
	case errors.As(err, &stop) && stop.Remote && stop.Reason == transfer.Declined:
		return &failure{status: statusRefused, what: "the other side does not want it. Nothing was sent", cause: err}
	case errors.As(err, &stop) && stop.Remote && stop.Reason == transfer.Unattended:
		return &failure{status: statusRefused, what: "nobody is there to say yes. Nothing was sent", hint: "ask them to add --yes", cause: err}
	case errors.As(err, &stop) && stop.Remote && stop.Reason == transfer.Busy:
		return &failure{status: statusFailed, what: "the other side is busy with another transfer", hint: "try again later", cause: err}
	case errors.As(err, &stop) && !stop.Remote && stop.Reason == transfer.Declined:
		return &failure{status: statusFailed, what: "you said no. Nothing was received"}
	case errors.As(err, &stop) && !stop.Remote && stop.Reason == transfer.Unattended:
		return &failure{status: statusMisused, what: stop.Text, hint: "run the same command again with --yes"}
	case fullHere(err):
		return &failure{status: statusFailed, what: fmt.Sprintf("%s; %d%% has arrived", stop.Text, m.done()), hint: "make room and run the same command again; what has arrived is kept"}
	case errors.As(err, &stop) && !stop.Remote && !m.sending:
		return &failure{status: statusFailed, what: stop.Text, hint: "try a new code, with --overwrite where files differ, or with another folder for --output"}
	case errors.As(err, &stop) && stop.Remote && m.sending:
		return &failure{status: statusFailed, what: stop.Error(), hint: "ask them what is in the way, and run the same command again for another attempt"}
	case errors.As(err, &stop) && stop.Remote:
		return &failure{status: statusFailed, what: stop.Error(), hint: "ask the sender to send it again"}
	case errors.As(err, &stop):
		return &failure{status: statusFailed, what: stop.Error(), hint: "run the same command again when nothing changes the files any more"}
	case errors.As(err, &path), errors.As(err, &link):
		return &failure{status: statusFailed, what: withoutCalls(err), hint: "try again when the file or folder can be used; what has arrived is kept", cause: err}
	}
	return explain(explainCut(err))
}
