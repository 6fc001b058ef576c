package transfer

import "sync"

// Progress is what a transfer has come to, for another goroutine to look at.
// The zero value is ready; a nil one is not looked at.
type Progress struct {
	mu  sync.Mutex
	now State
}

// State is how far a transfer is. Bytes and files that were there already and
// need not be sent count as done.
type State struct {
	Stage Stage
	Bytes int64 // done
	Size  int64 // of all
	Here  int64 // of Bytes, what was there before and was verified
	// Arrived is what the receiver has of all files, those whose turn has not come
	// included; a sender knows it from what it was told last. Bytes that a sender
	// counts may still be on their way.
	Arrived int64
	Files   int    // done
	Count   int    // of all
	Name    string // of the file under way
}

// Stage is what a transfer is at.
type Stage int

// The stages, in order.
const (
	Meeting   Stage = iota // nothing is known yet
	Asking                 // the receiver has the offer
	Verifying              // what is there already is compared
	Moving
	Complete
)

// State gives the present one.
func (p *Progress) State() State {
	if p == nil {
		return State{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *Progress) update(change func(*State)) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.now)
}

func (p *Progress) stage(s Stage) { p.update(func(n *State) { n.Stage = s }) }

// begin is for an offer.
func (p *Progress) begin(o Offer) {
	size, count := o.Size(), o.Files()
	p.update(func(n *State) { *n = State{Stage: Asking, Size: size, Count: count} })
}

// file begins one, of which here bytes need not be sent.
func (p *Progress) file(name string, here int64) {
	p.update(func(n *State) { n.Stage, n.Name, n.Bytes, n.Here = Moving, name, n.Bytes+here, n.Here+here })
}

func (p *Progress) moved(bytes int) { p.update(func(n *State) { n.Bytes += int64(bytes) }) }

func (p *Progress) arrived(bytes int64) { p.update(func(n *State) { n.Arrived = bytes }) }

func (p *Progress) fileDone() { p.update(func(n *State) { n.Files++ }) }
