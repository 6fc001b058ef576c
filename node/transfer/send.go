package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// ErrNoTransfer is a peer that does not speak of transfers: it runs something
// else.
var ErrNoTransfer = errors.New("the peer does not receive files")

// ErrOtherVersion is a peer that speaks of transfers in another way.
var ErrOtherVersion = errors.New("the peer's version receives files in another way")

// Sender has what is to be sent. Source is needed.
type Sender struct {
	Source   *Source
	Limit    int64 // bytes a second; 0 means none
	Progress *Progress
}

// Send offers the source to the receiver on conn, and sends what that one does
// not have. It returns without an error when the receiver has everything, and
// has verified it. The error is a *StopError where either side ended it in an
// orderly way, a *ProtocolError where the peer broke the rules, that of ctx, of a
// file, or of the connection; after one of the latter another Send to the same
// receiver goes on from where this one was. conn is left open.
func (s Sender) Send(ctx context.Context, conn net.Conn) error {
	g := &sending{wire: newWire(ctx, conn), src: s.Source, progress: s.Progress, known: make(map[int][]sum)}
	if s.Limit > 0 {
		g.pace = rate.NewLimiter(rate.Limit(s.Limit), paceBurst)
	}
	defer g.close()
	return g.bye(g.run())
}

type sending struct {
	*wire
	src      *Source
	progress *Progress
	known    map[int][]sum // the blocks of an entry that the receiver has
	ended    atomic.Bool   // all was sent
}

func (s *sending) run() error {
	if err := s.meet(); err != nil {
		return err
	}
	s.progress.begin(s.src.Offer)
	for _, e := range s.src.Offer.Entries {
		if err := s.put(kindEntry, e.encode()); err != nil {
			return err
		}
	}
	if err := s.put(kindOffered); err != nil {
		return err
	}
	if err := s.w.Flush(); err != nil {
		return err
	}
	if err := s.compare(); err != nil {
		return err
	}
	// While we write, the receiver may end it all. That also interrupts a write
	// which it does not read.
	heard := make(chan error, 1)
	var listening sync.WaitGroup
	listening.Go(func() {
		err := s.hear()
		if err != nil {
			s.cancel()
		}
		heard <- err
	})
	err := s.files()
	if err != nil {
		if s.asked.Err() != nil {
			err = s.asked.Err()
		}
		if s.ctx.Err() == nil || s.asked.Err() != nil {
			_ = s.bye(err)
		}
		s.cancel()
	}
	listening.Wait()
	if said := <-heard; said != nil && !s.gone && (err == nil || !errors.Is(said, context.Canceled)) {
		return said // explains more than a write that failed
	}
	if err == nil {
		s.progress.arrived(s.src.Offer.Size())
		s.progress.stage(Complete)
	}
	return err
}

// hear takes in what has arrived, until the receiver has everything.
func (s *sending) hear() error {
	for {
		k, n, err := s.next()
		switch {
		case err != nil:
			return err
		case k == kindDone && s.ended.Load():
			return nil
		case k != kindArrived:
			return broken("type %d while it receives", k)
		}
		if err := s.arrived(n); err != nil {
			return err
		}
	}
}

// arrived reads the rest of an ARRIVED.
func (s *sending) arrived(n int) error {
	if n != 8 {
		return broken("%d bytes for a number of bytes", n)
	}
	b, err := s.payload(n)
	if err != nil {
		return err
	}
	size, arrived := s.src.Offer.Size(), binary.BigEndian.Uint64(b)
	if arrived > uint64(size) {
		return broken("%d bytes have arrived, of %d", arrived, size)
	}
	s.progress.arrived(int64(arrived))
	return nil
}

// meet waits for the receiver's first words.
func (s *sending) meet() error {
	s.wait, s.until = helloTime, time.Now().Add(helloTime)
	defer func() { s.wait, s.until = stepTime, time.Time{} }()
	k, n, err := s.next()
	var rules *ProtocolError
	switch {
	case errors.As(err, &rules), errors.Is(err, os.ErrDeadlineExceeded), err == nil && k != kindHello:
		return fmt.Errorf("%w (%v)", ErrNoTransfer, err)
	case err != nil:
		return err
	}
	text, err := s.payload(n)
	switch {
	case err != nil || string(text) == hello:
		return err
	case strings.HasPrefix(string(text), helloPrefix):
		return ErrOtherVersion
	default:
		return ErrNoTransfer
	}
}

// compare finds out, for each file of which the receiver has something, how
// much of that is as it is here.
func (s *sending) compare() error {
	m := newMill(nil)
	defer m.close()
	var now struct {
		index int
		file  *os.File
		next  int64 // block
		same  bool  // up to there
	}
	now.index = -1
	defer func() {
		if now.file != nil {
			now.file.Close()
		}
	}()
	for {
		k, n, err := s.next()
		if err != nil {
			return err
		}
		if k == kindGo {
			return nil
		}
		if k == kindArrived {
			if err := s.arrived(n); err != nil {
				return err
			}
			continue
		}
		if k != kindHave || n < 4+sumSize || (n-4)%sumSize != 0 {
			return broken("type %d and %d bytes in an answer", k, n)
		}
		s.progress.stage(Verifying)
		b, err := s.payload(n)
		if err != nil {
			return err
		}
		index, theirs := int(binary.BigEndian.Uint32(b)), b[4:]
		if index != now.index {
			if index <= now.index || index >= len(s.src.Offer.Entries) {
				return broken("it has number %d", index)
			}
			if s.src.Offer.Entries[index].Folder {
				return broken("it has more of a folder than there is")
			}
			if now.file != nil {
				now.file.Close()
			}
			now.index, now.next, now.same = index, 0, true
			if now.file, err = s.src.open(index); err != nil {
				return err
			}
		}
		e := s.src.Offer.Entries[index]
		count := int64(len(theirs) / sumSize)
		if now.next+count > blocks(e.Size) {
			return broken("it has more of %.100q than there is", e.Path)
		}
		for at := int64(0); now.same && at < count; {
			// So many that a difference is noticed soon.
			sums := make([]sum, min(count-at, 64))
			for i := range sums {
				if err := s.ctx.Err(); err != nil {
					return err
				}
				from := (now.next + at + int64(i)) * Block
				block := m.buffer(int(min(Block, e.Size-from)))
				if _, err := now.file.ReadAt(block, from); err != nil {
					m.drop(block)
					return s.unread(index, err)
				}
				m.put(block, &sums[i])
			}
			if err := m.settle(); err != nil {
				return err
			}
			for i := range sums {
				if now.same = sums[i] == sum(theirs[(at+int64(i))*sumSize:][:sumSize]); !now.same {
					break
				}
				s.known[index] = append(s.known[index], sums[i])
			}
			at += int64(len(sums))
		}
		now.next += count
	}
}

// unread is a file that could not be read to its offered end.
func (s *sending) unread(index int, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &StopError{Reason: Impossible, Text: fmt.Sprintf("%q has changed since it was offered", clip(s.src.Offer.Entries[index].Path))}
	}
	return err
}

// files sends all of them.
func (s *sending) files() error {
	m := newMill(func(b []byte) error {
		err := s.put(kindData, b)
		s.progress.moved(len(b))
		return err
	})
	defer m.close()
	for i, e := range s.src.Offer.Entries {
		if e.Folder {
			continue
		}
		if err := s.file(m, i, e); err != nil {
			_ = m.settle() // the writer is at rest then
			return err
		}
	}
	s.ended.Store(true)
	if err := s.put(kindFinish); err != nil {
		return err
	}
	return s.w.Flush()
}

func (s *sending) file(m *mill, index int, e Entry) error {
	f, err := s.src.open(index)
	if err != nil {
		return err
	}
	defer f.Close()
	here := min(int64(len(s.known[index]))*Block, e.Size)
	s.progress.file(e.Path, here)
	var begin [12]byte
	binary.BigEndian.PutUint32(begin[:], uint32(index))
	binary.BigEndian.PutUint64(begin[4:], uint64(here))
	if err := s.put(kindFile, begin[:]); err != nil {
		return err
	}
	known := s.known[index]
	delete(s.known, index)
	hashes := newRooter(m, e.Size, known)
	for i := int64(len(known)); i < blocks(e.Size); i++ {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		if err := m.failure(); err != nil {
			return err
		}
		place, err := hashes.next()
		if err != nil {
			return err
		}
		b := m.buffer(int(min(Block, e.Size-i*Block)))
		if _, err := f.ReadAt(b, i*Block); err != nil {
			m.drop(b)
			return s.unread(index, err)
		}
		m.put(b, place)
	}
	end, err := hashes.root()
	if err != nil {
		return err
	}
	if err := s.src.same(f, index); err != nil {
		return err
	}
	s.progress.fileDone()
	return s.put(kindEnd, end[:])
}
