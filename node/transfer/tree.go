package transfer

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"runtime"
	"sync"
	"sync/atomic"
)

// Block is the unit of hashing and of sending: 1 MiB.
const Block = 1 << 20

const sumSize = sha256.Size

type sum = [sumSize]byte

// blocks is how many blocks a file of size bytes has.
func blocks(size int64) int64 { return (size + Block - 1) / Block }

// rooter makes the hash of a file out of those of its blocks, while a mill fills
// them in. It needs the same memory for a file of any size.
type rooter struct {
	mill   *mill
	hash   hash.Hash
	window []sum // of blocks under way
}

// newRooter begins; the blocks of known are not to come again.
func newRooter(m *mill, size int64, known []sum) *rooter {
	r := &rooter{mill: m, hash: sha256.New(), window: make([]sum, 0, min(blocks(size), MaxHashes))}
	r.hash.Write([]byte("sallyport file 1\x00"))
	r.hash.Write(binary.BigEndian.AppendUint64(nil, uint64(size)))
	r.take(known)
	return r
}

func (r *rooter) take(sums []sum) {
	for i := range sums {
		r.hash.Write(sums[i][:])
	}
}

// next gives the place for the hash of the next block.
func (r *rooter) next() (*sum, error) {
	if len(r.window) == cap(r.window) {
		if err := r.mill.settle(); err != nil {
			return nil, err
		}
		r.take(r.window)
		r.window = r.window[:0]
	}
	r.window = append(r.window, sum{})
	return &r.window[len(r.window)-1], nil
}

// root gives the hash when all blocks were put into the mill, and are through.
func (r *rooter) root() (sum, error) {
	if err := r.mill.settle(); err != nil {
		return sum{}, err
	}
	r.take(r.window)
	r.window = r.window[:0]
	return sum(r.hash.Sum(nil)), nil
}

// mill hashes blocks while it hands them on: both at once, in as many
// goroutines as help, and without copying.
type mill struct {
	out   func([]byte) error // gets every block, in order; may be nil
	free  chan []byte
	hash  chan grist
	hand  chan grist
	all   sync.WaitGroup // its goroutines
	under sync.WaitGroup // blocks that are under way, twice

	mu  sync.Mutex
	err error
}

type grist struct {
	block []byte
	sum   *sum
	left  *atomic.Int32 // who still needs the block
}

// depth is how many blocks are under way at most.
const depth = 6

func newMill(out func([]byte) error) *mill {
	m := &mill{out: out, free: make(chan []byte, depth), hash: make(chan grist, depth), hand: make(chan grist, depth)}
	for range depth {
		m.free <- nil // made when it is needed
	}
	for range min(runtime.GOMAXPROCS(0), 4) {
		m.all.Go(func() {
			for g := range m.hash {
				*g.sum = sha256.Sum256(g.block)
				m.finish(g)
			}
		})
	}
	m.all.Go(func() {
		for g := range m.hand {
			if m.out != nil && m.failure() == nil {
				m.fail(m.out(g.block))
			}
			m.finish(g)
		}
	})
	return m
}

// buffer gives room for n bytes, when there is some.
func (m *mill) buffer(n int) []byte {
	b := <-m.free
	if cap(b) < n {
		b = make([]byte, n, max(n, min(Block, 2*n)))
	}
	return b[:n]
}

// drop gives a buffer back that is not used.
func (m *mill) drop(b []byte) { m.free <- b }

// put takes a block: its hash goes to s.
func (m *mill) put(b []byte, s *sum) {
	m.under.Add(2)
	g := grist{b, s, new(atomic.Int32)}
	g.left.Store(2)
	m.hand <- g
	m.hash <- g
}

func (m *mill) finish(g grist) {
	if g.left.Add(-1) == 0 {
		m.free <- g.block
	}
	m.under.Done()
}

func (m *mill) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

func (m *mill) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.err = err
	}
}

// settle waits until every block was hashed and handed on.
func (m *mill) settle() error {
	m.under.Wait()
	return m.failure()
}

// close ends the goroutines, when they have done what they have.
func (m *mill) close() {
	close(m.hash)
	close(m.hand)
	m.all.Wait()
}
