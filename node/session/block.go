package session

import "sync"

// block is the memory of one frame: what is kept until it is acknowledged, or
// what has come and was not read. Its sizes are few, so that pools serve.
type block struct {
	bytes []byte // with room up to its capacity
	read  int    // how much of a received one has been read
	id    uint32 // the stream
	open  bool   // may still grow
	pool  *sync.Pool
}

var sizes = []struct {
	size int
	pool *sync.Pool
}{poolOf(64), poolOf(2 << 10), poolOf(16 << 10), poolOf(headerSize + maxPayload)}

func poolOf(size int) (s struct {
	size int
	pool *sync.Pool
}) {
	s.size, s.pool = size, new(sync.Pool)
	s.pool.New = func() any { return &block{bytes: make([]byte, 0, size), pool: s.pool} }
	return s
}

// newBlock gives an empty block with room for size bytes, of 64 KiB at most.
func newBlock(size int) *block {
	k := 0
	for sizes[k].size < size {
		k++
	}
	return sizes[k].pool.Get().(*block)
}

// newFrame begins a frame with its header.
func newFrame(h header, room int) *block {
	b := newBlock(headerSize + room)
	b.bytes = b.bytes[:headerSize]
	h.put(b.bytes)
	b.id = h.stream
	return b
}

// seal writes the length into the header: the frame grows no more.
func (b *block) seal() {
	b.open = false
	n := len(b.bytes) - headerSize
	b.bytes[2], b.bytes[3] = byte(n>>8), byte(n)
}

func (b *block) release() {
	b.bytes, b.read, b.open, b.id = b.bytes[:0], 0, false, 0
	b.pool.Put(b)
}

// room is how much more fits.
func (b *block) room() int { return cap(b.bytes) - len(b.bytes) }

// unread is what of a received block has not been read.
func (b *block) unread() []byte { return b.bytes[b.read:] }
