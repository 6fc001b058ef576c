package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Receiver says where what arrives goes. Root is needed.
type Receiver struct {
	// Root is the folder; nothing is ever read or written outside.
	Root *os.Root
	// Accept is asked when the offer is there, before anything is looked at or
	// made. Its error ends the transfer; where it is a *StopError, that is what
	// the sender is told. Nil accepts everything.
	Accept func(context.Context, Offer) error
	// Overwrite lets files take the place of others with the same name.
	Overwrite bool
	// Free gives the bytes that there is room for. Nil means that the disk of
	// Root is asked.
	Free     func() (uint64, error)
	Progress *Progress
}

// Receive takes what the sender on conn has. A file is under its own name only
// when it is whole and verified; until then it is a part beside that, from which
// the next Receive of the same goes on. Files that are there already and are the
// same are not sent again. The errors are as those of Send. conn is left open.
func (r Receiver) Receive(ctx context.Context, conn net.Conn) (Offer, error) {
	g := &receiving{wire: newWire(ctx, conn), Receiver: r}
	defer g.close()
	err := g.run()
	if err != nil && g.mill != nil {
		_ = g.putArrived() // goes with the reason, if that goes
	}
	return g.offer, g.bye(err)
}

// tellEvery is how often a sender is told at most of what has arrived.
const tellEvery = 100 * time.Millisecond

// report tells the sender what has arrived, whenever that has changed, until stop
// is called, which waits. Nothing else is written meanwhile.
func (g *receiving) report() (stop func()) {
	ended := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		tick := time.NewTicker(tellEvery)
		defer tick.Stop()
		told := g.arrived.Load()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
			}
			if now := g.arrived.Load(); now != told {
				if g.putArrived() != nil || g.w.Flush() != nil {
					return // whoever reads finds out why
				}
				told = now
			}
		}
	})
	return func() { close(ended); telling.Wait() }
}

func (g *receiving) putArrived() error {
	return g.put(kindArrived, binary.BigEndian.AppendUint64(nil, uint64(g.arrived.Load())))
}

// Refuse tells a sender at once that nothing can be received.
func Refuse(ctx context.Context, conn net.Conn, why *StopError) {
	w := newWire(ctx, conn)
	defer w.close()
	if w.put(kindHello, []byte(hello)) == nil {
		_ = w.bye(why)
	}
}

type receiving struct {
	*wire
	Receiver
	offer Offer
	items []item
	mill  *mill
	into  *os.File // of the file under way
	at    int64    // where its next block goes

	arrived atomic.Int64 // bytes of all files, with those that were there
}

func (g *receiving) run() error {
	if err := g.put(kindHello, []byte(hello)); err != nil {
		return err
	}
	if err := g.w.Flush(); err != nil {
		return err
	}
	if err := g.hear(); err != nil {
		return err
	}
	g.Progress.begin(g.offer)
	if g.Accept != nil {
		if err := g.Accept(g.ctx, g.offer); err != nil {
			return err
		}
	}
	g.mill = newMill(g.write)
	defer g.mill.close()
	if err := g.inspect(); err != nil {
		return err
	}
	if err := g.answer(); err != nil {
		return err
	}
	if err := g.folders(); err != nil {
		return err
	}
	if err := g.files(); err != nil {
		return err
	}
	if err := g.put(kindDone); err != nil {
		return err
	}
	g.Progress.stage(Complete)
	return g.w.Flush()
}

// files receives all of them, and tells how far it is.
func (g *receiving) files() (err error) {
	stop := g.report()
	defer func() {
		if err != nil {
			g.hurry() // a peer that reads nothing holds nobody up
		}
		stop()
	}()
	for i := range g.items {
		if err := g.file(&g.items[i]); err != nil {
			return err
		}
	}
	return g.expect(kindFinish, 0)
}

// expect reads the head of a frame of that type and size.
func (g *receiving) expect(want kind, size int) error {
	k, n, err := g.next()
	if err == nil && (k != want || n != size) {
		err = broken("type %d and %d bytes in place of type %d and %d", k, n, want, size)
	}
	return err
}

// hear reads the offer.
func (g *receiving) hear() error {
	g.wait, g.until = offerTime, time.Now().Add(offerTime)
	defer func() { g.wait, g.until = stepTime, time.Time{} }()
	c := newCollector(runtime.GOOS)
	for {
		k, n, err := g.next()
		switch {
		case err != nil:
			return err
		case k == kindOffered && len(c.offer.Entries) > 0:
			g.offer = c.offer
			return nil
		case k != kindEntry:
			return broken("type %d in an offer", k)
		}
		b, err := g.payload(n)
		if err != nil {
			return err
		}
		g.until = g.until.Add(time.Duration(n) * time.Second / offerRate)
		e, err := decodeEntry(b)
		if err == nil {
			err = c.add(e)
		}
		if err != nil {
			return &StopError{Reason: Impossible, Text: "the offer is refused: " + err.Error()}
		}
	}
}

// count adds to what has arrived.
func (g *receiving) count(bytes int64) { g.Progress.arrived(g.arrived.Add(bytes)) }

// answer says what is here, and that we want the rest.
func (g *receiving) answer() error {
	if err := g.putArrived(); err != nil {
		return err
	}
	for _, it := range g.items {
		number := binary.BigEndian.AppendUint32(nil, uint32(it.index))
		for rest := it.have; len(rest) > 0; {
			n := min(len(rest), MaxHashes)
			b := make([]byte, 0, n*sumSize)
			for i := range rest[:n] {
				b = append(b, rest[i][:]...)
			}
			if err := g.put(kindHave, number, b); err != nil {
				return err
			}
			rest = rest[n:]
		}
	}
	if err := g.put(kindGo); err != nil {
		return err
	}
	return g.w.Flush()
}

func (g *receiving) folders() error {
	for _, e := range g.offer.Entries {
		if !e.Folder {
			continue
		}
		if err := g.Root.Mkdir(localPath(e.Path, runtime.GOOS), e.Mode|0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return outside(e.Path, err)
		}
	}
	return nil
}

// write is what the mill does with a block.
func (g *receiving) write(b []byte) error {
	if g.into == nil {
		return nil // only hashed
	}
	n, err := g.into.WriteAt(b, g.at)
	g.at += int64(n)
	g.count(int64(n))
	g.Progress.moved(n)
	return err
}

// file receives one, and gives it its name when it is whole.
func (g *receiving) file(it *item) error {
	if err := g.expect(kindFile, 12); err != nil {
		return err
	}
	b, err := g.payload(12)
	if err != nil {
		return err
	}
	from := int64(binary.BigEndian.Uint64(b[4:]))
	if binary.BigEndian.Uint32(b) != uint32(it.index) || from < 0 || from > it.held() || from%Block != 0 && from != it.Size {
		return broken("number %d from byte %d on", binary.BigEndian.Uint32(b), from)
	}
	there := it.whole && from == it.Size
	if it.whole && !there && !g.Overwrite {
		return differs(it.Path)
	}
	g.Progress.file(it.Path, from)
	g.count(from - it.held()) // less where some of it was not as it should be
	hashes := newRooter(g.mill, it.Size, it.have[:blocks(from)])
	it.have = nil
	if !there {
		if err := g.open(it, from); err != nil {
			return err
		}
		defer func() { g.into.Close(); g.into = nil }()
	}
	for i := blocks(from); i < blocks(it.Size); i++ {
		place, err := hashes.next()
		if err != nil {
			return outside(it.Path, err)
		}
		size := int(min(Block, it.Size-i*Block))
		if err := g.expect(kindData, size); err != nil {
			_ = g.mill.settle()
			return err
		}
		block := g.mill.buffer(size)
		if _, err := io.ReadFull(g.r, block); err != nil {
			g.mill.drop(block)
			_ = g.mill.settle()
			return err
		}
		g.mill.put(block, place)
		if g.mill.failure() != nil {
			break
		}
	}
	whole, err := hashes.root()
	if err != nil {
		return outside(it.Path, err)
	}
	if err := g.expect(kindEnd, sumSize); err != nil {
		return err
	}
	if b, err = g.payload(sumSize); err != nil {
		return err
	}
	if whole != sum(b) {
		return &StopError{Reason: Impossible, Text: fmt.Sprintf("%q did not arrive as it was sent", clip(it.Path))}
	}
	if !there {
		if err := g.name(it); err != nil {
			return err
		}
	}
	g.Progress.fileDone()
	return nil
}
