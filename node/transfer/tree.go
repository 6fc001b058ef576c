package transfer

import (
	"crypto/sha256"
	"encoding/binary"
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

// root is the hash of a file, made of those of its blocks.
func root(size int64, sums []sum) sum {
	h := sha256.New()
	h.Write([]byte("sallyport file 1\x00"))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(size)))
	for i := range sums {
		h.Write(sums[i][:])
	}
	return sum(h.Sum(nil))
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
