package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/session"
)

// moves measures for how long a reader waits while a session moves as planned,
// over paths that take oneWayPath each way.
func moves(p *pairs, page io.Writer) {
	const tick = time.Millisecond
	x, y, end := p.delayed()
	defer end()
	j := p.session(x, y)
	defer j.close()
	near, far := j.stream()
	over := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		b := make([]byte, 1024)
		for every := time.NewTicker(tick); ; {
			select {
			case <-over:
				every.Stop()
				_ = near.CloseWrite()
				return
			case <-every.C:
				_, _ = near.Write(b)
			}
		}
	})
	var mu sync.Mutex
	var worst time.Duration
	gap := func() (d time.Duration) { mu.Lock(); defer mu.Unlock(); d, worst = worst, 0; return d }
	writing.Go(func() {
		last, b := time.Now(), make([]byte, 64<<10)
		for {
			_, err := far.Read(b)
			now := time.Now()
			mu.Lock()
			worst, last = max(worst, now.Sub(last)), now
			mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	var usual, moving []time.Duration
	for range rounds {
		time.Sleep(4 * oneWayPath)
		gap()
		time.Sleep(6 * oneWayPath)
		usual = append(usual, gap())
		x, y, end := p.delayed()
		defer end()
		caller, callee := p.linked(x, y, link.Resume)
		gap()
		answered := make(chan error, 1)
		go func() {
			r, err := session.ReadRequest(callee)
			if err == nil {
				err = j.acceptor.Answer(r, nil)
			}
			answered <- err
		}()
		p.must(errors.Join(j.opener.Resume(context.Background(), caller, nil), <-answered))
		time.Sleep(6 * oneWayPath)
		moving = append(moving, gap())
	}
	close(over)
	writing.Wait()
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	fmt.Fprintf(page, "## A planned move\n\nOver paths of %.0f ms one way, with 1 KiB written every ms, the longest time between two reads at the other end is"+
		" %.1f ms usually (worst %.1f) and %.1f ms while the session moves to another such path (worst of %d: %.1f); a round trip takes %.0f ms.\n\n",
		ms(oneWayPath), ms(median(usual)), ms(slices.Max(usual)), ms(median(moving)), rounds, ms(slices.Max(moving)), ms(2*oneWayPath))
	if stall := median(moving); stall > 3*oneWayPath {
		p.t.Errorf("a planned move stalls for %v", stall)
	}
}
