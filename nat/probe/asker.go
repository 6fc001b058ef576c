package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/errno"
)

var (
	errSilent = errors.New("no answer")
	errSpent  = errors.New("the budget of packets is used up")
)

// asker asks STUN questions from one UDP socket.
type asker struct {
	conn   *net.UDPConn
	local  netip.AddrPort
	budget *budget
	lane   *lane         // nil in a burst, which holds it
	done   chan struct{} // closed when the reader has ended

	mu      sync.Mutex
	waiting map[transactionID]pending
}

// pending is one packet that is out.
type pending struct {
	to   netip.AddrPort // zero where the answer may come from anywhere
	sent time.Time
	ch   chan<- reply // has room for every answer that is awaited
}

// reply is an answer that belongs to a request of ours.
type reply struct {
	message
	from netip.AddrPort
	rtt  time.Duration
	at   time.Time
	err  error // it says no, or nothing that helps
}

func newAsker(ctx context.Context, p *prober, port uint16) (*asker, error) {
	lc := net.ListenConfig{Control: p.cfg.Control}
	c, err := lc.ListenPacket(ctx, "udp", netip.AddrPortFrom(p.local, port).String())
	if err != nil {
		return nil, err
	}
	conn := c.(*net.UDPConn)
	a := &asker{
		conn: conn, local: unmapped(conn.LocalAddr().(*net.UDPAddr).AddrPort()),
		budget: &p.udpBudget, lane: &p.lane, done: make(chan struct{}),
		waiting: map[transactionID]pending{},
	}
	go a.read()
	return a, nil
}

// close ends the reader and waits for it.
func (a *asker) close() {
	_ = a.conn.Close()
	<-a.done
}

func (a *asker) read() {
	defer close(a.done)
	b := make([]byte, largest+1)
	for {
		n, from, err := a.conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			if errno.Is(err, syscall.ECONNREFUSED) {
				continue // an ICMP error, of which we cannot tell whom it is about
			}
			return
		}
		at := time.Now()
		m, err := parse(b[:n])
		if err != nil {
			continue
		}
		from = unmapped(from)
		a.mu.Lock()
		w, ok := a.waiting[m.id]
		if ok && (!w.to.IsValid() || w.to == from) {
			delete(a.waiting, m.id)
			w.ch <- reply{message: m, from: from, rtt: at.Sub(w.sent), at: at, err: m.answers(m.id)}
		}
		a.mu.Unlock()
	}
}

// ask sends a Binding request, and again after retransmit, twice that and so
// on, until one is answered or ctx ends. Each copy has an id of its own, so
// that the round trip is that of the copy that was answered. With change not 0
// the answer may come from anywhere. begun, where not nil, is called when the
// first copy has been sent. The time of that is given back.
func (a *asker) ask(ctx context.Context, to netip.AddrPort, change uint32, every time.Duration, begun func()) (reply, time.Time, error) {
	const most = 4 // copies
	ch := make(chan reply, most)
	var ids []transactionID
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, id := range ids {
			delete(a.waiting, id)
		}
	}()
	var first time.Time
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return reply{}, first, errSilent
		case r := <-ch:
			return r, first, r.err
		case <-timer.C:
			if len(ids) == most {
				continue // the timer is not set again: only ctx ends this
			}
			if !a.budget.take(1) {
				if len(ids) == 0 {
					return reply{}, first, errSpent
				}
				continue
			}
			id, raw := request(change)
			ids = append(ids, id)
			opens := len(ids) == 1 // a mapping, if this is the first packet to that server
			if opens && a.lane != nil {
				a.lane.Lock()
			}
			sent, err := a.send(id, raw, to, change != 0, ch)
			if opens && a.lane != nil {
				a.lane.Unlock()
			}
			if opens {
				first = sent
				if begun != nil {
					begun()
				}
			}
			if err != nil {
				return reply{}, first, err
			}
			timer.Reset(every << (len(ids) - 1))
		}
	}
}

func (a *asker) send(id transactionID, raw []byte, to netip.AddrPort, anywhere bool, ch chan<- reply) (time.Time, error) {
	w := pending{to: to, sent: time.Now(), ch: ch}
	if anywhere {
		w.to = netip.AddrPort{}
	}
	a.mu.Lock()
	a.waiting[id] = w
	a.mu.Unlock()
	_, err := a.conn.WriteToUDPAddrPort(raw, to)
	return w.sent, err
}

// expect has an answer to a request that somebody else sends go to ch.
func (a *asker) expect(id transactionID, from netip.AddrPort, ch chan<- reply) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting[id] = pending{to: from, sent: time.Now(), ch: ch}
}

// mapping is what a reply of to tells about our port.
func (a *asker) mapping(r reply, to netip.AddrPort, sent time.Time) nat.Mapping {
	return nat.Mapping{
		Local: a.local, External: r.mapped, Server: to,
		Sent: sent, At: r.at, RTT: r.rtt, Rewritten: r.rewritten,
	}
}
