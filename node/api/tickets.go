package api

import (
	"crypto/rand"
	"maps"
	"sync"
	"time"
)

const (
	ticketLife = 5 * time.Minute
	tabLife    = 12 * time.Hour
	// maxTickets is how many tickets, and how many pages, there are at once; the
	// one that ends first makes room.
	maxTickets = 16
)

// tickets open the page: each is good once, for a cookie and a key.
type tickets struct {
	mu   sync.Mutex
	now  func() time.Time
	open map[string]time.Time // tickets, by when they end
	tabs map[string]tab       // pages, by their cookie
}

type tab struct {
	key  string
	ends time.Time
}

func newTickets(now func() time.Time) *tickets {
	return &tickets{now: now, open: make(map[string]time.Time), tabs: make(map[string]tab)}
}

// issue makes a ticket.
func (t *tickets) issue() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget()
	makeRoom(t.open, func(ends time.Time) time.Time { return ends })
	ticket := rand.Text()
	t.open[ticket] = t.now().Add(ticketLife)
	return ticket
}

// redeem takes a ticket for what a page needs. ok is false for one that was
// never issued, is used up or too old.
func (t *tickets) redeem(ticket string) (cookie, key string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget()
	if _, ok = t.open[ticket]; !ok {
		return "", "", false
	}
	delete(t.open, ticket)
	makeRoom(t.tabs, func(p tab) time.Time { return p.ends })
	cookie, key = rand.Text(), rand.Text()
	t.tabs[cookie] = tab{key, t.now().Add(tabLife)}
	return cookie, key, true
}

// admits reports whether a page has both.
func (t *tickets) admits(cookie, key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget()
	p, ok := t.tabs[cookie]
	return ok && same(p.key, key)
}

// forget drops what has ended.
func (t *tickets) forget() {
	now := t.now()
	maps.DeleteFunc(t.open, func(_ string, ends time.Time) bool { return now.After(ends) })
	maps.DeleteFunc(t.tabs, func(_ string, p tab) bool { return now.After(p.ends) })
}

func makeRoom[V any](m map[string]V, ends func(V) time.Time) {
	for len(m) >= maxTickets {
		var first string
		for k, v := range m {
			if first == "" || ends(v).Before(ends(m[first])) {
				first = k
			}
		}
		delete(m, first)
	}
}
