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

// item is a file of the offer, and what there is of it.
type item struct {
	Entry
	index       int
	local, part string
	whole       bool  // what there is has the final name
	have        []sum // of blocks that are there
}

// held is how many bytes that is.
func (i *item) held() int64 { return min(int64(len(i.have))*Block, i.Size) }

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
	g.wait = offerTime
	defer func() { g.wait = stepTime }()
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
		e, err := decodeEntry(b)
		if err == nil {
			err = c.add(e)
		}
		if err != nil {
			return &StopError{Reason: Impossible, Text: "the offer is refused: " + err.Error()}
		}
	}
}

// inspect looks at what is there of each file, and at the room for the rest.
func (g *receiving) inspect() error {
	var missing, held int64
	for i, e := range g.offer.Entries {
		if err := g.ctx.Err(); err != nil {
			return err
		}
		local := localPath(e.Path, runtime.GOOS)
		if e.Folder {
			info, err := g.Root.Lstat(local)
			if err == nil && !info.IsDir() {
				return inTheWay(e.Path, info)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return outside(e.Path, err)
			}
			continue
		}
		it := item{Entry: e, index: i, local: local, part: partPath(local)}
		if err := g.look(&it); err != nil {
			return err
		}
		g.items = append(g.items, it)
		held += it.held()
		g.count(it.held())
		if !it.whole {
			missing += e.Size - it.held()
		}
	}
	free := g.Free
	if free == nil {
		free = func() (uint64, error) { return freeSpace(g.Root) }
	}
	if room, err := free(); err == nil && uint64(missing) > room {
		stop := &StopError{Reason: Impossible, Text: fmt.Sprintf("there is room for %d MB, and %d MB are missing", room/1e6, (missing+999_999)/1e6)}
		if held > 0 {
			stop.Reason = Paused // the disk was filled since it began
		}
		return stop
	}
	return nil
}

// look finds what there is of one file.
func (g *receiving) look(it *item) error {
	info, err := g.Root.Lstat(it.local)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return inTheWay(it.Path, info)
	case err == nil && info.Size() == it.Size:
		it.whole = true
		return g.hash(it, it.local, it.Size)
	case err == nil && !g.Overwrite:
		return differs(it.Path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return outside(it.Path, err)
	}
	info, err = g.Root.Lstat(it.part)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return outside(it.Path, err)
	case !info.Mode().IsRegular():
		return inTheWay(it.part, info)
	}
	n := min(info.Size(), it.Size)
	if n < it.Size {
		n -= n % Block
	}
	return g.hash(it, it.part, n)
}

func inTheWay(name string, info fs.FileInfo) error {
	what := "something that is no file"
	switch {
	case info.IsDir():
		what = "a folder"
	case info.Mode()&fs.ModeSymlink != 0:
		what = "a symbolic link"
	case info.Mode().IsRegular():
		what = "a file"
	}
	return &StopError{Reason: Impossible, Text: fmt.Sprintf("%s is in the way, with the name %q", what, clip(name))}
}

// differs is a file that is there and is another one.
func differs(name string) error {
	return &StopError{Reason: Impossible, Text: fmt.Sprintf("%q is there already, and differs", clip(name))}
}

// outside is a path that the folder does not let us use, as when a symbolic
// link in it leads elsewhere. For want of room it is a pause: what is here is
// kept, and the same goes on from there.
func outside(name string, err error) error {
	if isFull(err) {
		return &StopError{Reason: Paused, Text: "the disk is full"}
	}
	return fmt.Errorf("%q can't be made there: %w", clip(name), err)
}

// hash takes the hashes of the first n bytes of a file.
func (g *receiving) hash(it *item, local string, n int64) error {
	if n == 0 {
		return nil
	}
	g.Progress.stage(Verifying)
	f, err := g.Root.Open(local)
	if err != nil {
		return outside(it.Path, err)
	}
	defer f.Close()
	it.have = make([]sum, blocks(n))
	for i := range it.have {
		if err := g.ctx.Err(); err != nil {
			return err
		}
		b := g.mill.buffer(int(min(Block, n-int64(i)*Block)))
		if _, err := f.ReadAt(b, int64(i)*Block); err != nil {
			g.mill.drop(b)
			return outside(it.Path, err)
		}
		g.mill.put(b, &it.have[i])
	}
	return g.mill.settle()
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

// open opens the part of a file, with nothing in it but what is good.
func (g *receiving) open(it *item, from int64) error {
	if info, err := g.Root.Lstat(it.part); err == nil && !info.Mode().IsRegular() {
		return inTheWay(it.part, info)
	}
	f, err := g.Root.OpenFile(it.part, os.O_RDWR|os.O_CREATE, it.Mode|0o600)
	if err == nil && it.whole {
		err = g.copyFrom(it, f, from)
	}
	if err == nil {
		err = f.Truncate(from)
	}
	if err != nil {
		if f != nil {
			f.Close()
		}
		return outside(it.Path, err)
	}
	g.into, g.at = f, from
	return nil
}

// copyFrom is for a file that begins as the one that it is to replace.
func (g *receiving) copyFrom(it *item, to *os.File, n int64) error {
	f, err := g.Root.Open(it.local)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyN(to, f, n)
	return err
}

// name gives a whole file its time and its name.
func (g *receiving) name(it *item) error {
	if err := g.into.Close(); err != nil {
		return outside(it.Path, err)
	}
	if !g.Overwrite {
		if _, err := g.Root.Lstat(it.local); err == nil {
			return differs(it.Path)
		}
	}
	_ = g.Root.Chtimes(it.part, it.Modified, it.Modified) // some file systems keep none
	if err := g.Root.Rename(it.part, it.local); err != nil {
		return outside(it.Path, err)
	}
	return nil
}
