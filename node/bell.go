package node

import "sync"

// bell wakes all who wait for it. The zero value is one.
type bell struct {
	mu sync.Mutex
	c  chan struct{}
}

// wait gives a channel that is closed at the next ring. What is looked at
// afterwards is not older than that.
func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c == nil {
		b.c = make(chan struct{})
	}
	return b.c
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c != nil {
		close(b.c)
		b.c = nil
	}
}
