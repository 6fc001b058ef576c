package node_test

import (
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sallyport-net/sallyport/node"
)

// flow is a long exchange over one connection: bytes go out at a rate, their
// echo is compared by hash, and the longest pause between two arrivals is kept.
type flow struct {
	conn *node.Conn

	mu        sync.Mutex
	sent, got int64
	last      time.Time
	stall     time.Duration // longest since the last look
	ended     bool
	err       error
}

// startFlow sends total bytes at rate bytes per second over c.
func startFlow(c *node.Conn, total, rate int64) *flow {
	_ = c.SetDeadline(time.Time{})
	f := &flow{conn: c, last: time.Now()}
	sum := make(chan hash.Hash, 1)
	var failed error
	go func() {
		h := sha256.New()
		random := rand.NewChaCha8([32]byte{2})
		p := make([]byte, 32<<10)
		begun := time.Now()
		for sent := int64(0); sent < total; {
			p = p[:min(int64(cap(p)), total-sent)]
			_, _ = random.Read(p)
			h.Write(p)
			if _, err := c.Write(p); err != nil {
				failed = err
				break
			}
			sent += int64(len(p))
			f.mu.Lock()
			f.sent = sent
			f.mu.Unlock()
			time.Sleep(time.Until(begun.Add(time.Duration(float64(sent) / float64(rate) * float64(time.Second)))))
		}
		_ = c.CloseWrite()
		sum <- h
	}()
	go func() {
		h := sha256.New()
		n, err := io.Copy(io.MultiWriter(h, f), c)
		want := (<-sum).Sum(nil)
		if err = errors.Join(err, failed); err == nil && (n != total || [32]byte(want) != [32]byte(h.Sum(nil))) {
			err = errors.New("what came back is not what was sent")
		}
		_ = c.Close()
		f.mu.Lock()
		defer f.mu.Unlock()
		f.ended, f.err = true, err
	}()
	return f
}

// Write notes what comes back.
func (f *flow) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.got += int64(len(p))
	f.stall = max(f.stall, now.Sub(f.last))
	f.last = now
	return len(p), nil
}

// look says how far the flow is, and forgets the stall so far.
func (f *flow) look() reply {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := reply{Sent: f.sent, Got: f.got, Stall: f.stall, Ended: f.ended, Via: f.conn.Via(), Remote: f.conn.RemoteAddr().String(), Moves: f.conn.Moves(), Alive: f.conn.Alive()}
	f.stall = 0
	if f.err != nil {
		r.Error = f.err.Error()
	}
	return r
}

// blackhole has this host send nothing to an address any more, or again.
func blackhole(to string, on bool) error {
	a, err := netip.ParseAddr(to)
	if err != nil {
		return err
	}
	dst, err := netlink.ParseIPNet(netip.PrefixFrom(a, a.BitLen()).String())
	if err != nil {
		return err
	}
	r := &netlink.Route{Dst: dst, Type: 6 /* RTN_BLACKHOLE */}
	if on {
		return netlink.RouteAdd(r)
	}
	return netlink.RouteDel(r)
}
