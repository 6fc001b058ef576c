package api

import (
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/node"
)

func TestTicketsAndPagesEnd(t *testing.T) {
	now := time.Now()
	tickets := newTickets(func() time.Time { return now })
	late := tickets.issue()
	now = now.Add(ticketLife + time.Second)
	if _, _, ok := tickets.redeem(late); ok {
		t.Error("a ticket that is too old is good")
	}
	cookie, key, ok := tickets.redeem(tickets.issue())
	if !ok || !tickets.admits(cookie, key) || tickets.admits(cookie, "") || tickets.admits("", key) || tickets.admits("", "") {
		t.Errorf("%v", ok)
	}
	now = now.Add(tabLife + time.Second)
	if tickets.admits(cookie, key) {
		t.Error("a page that is too old is let in")
	}
}

func TestChronicle(t *testing.T) {
	c := newChronicle()
	if events, _, lost, _ := c.after(0); len(events) != 0 || lost != 0 {
		t.Errorf("an empty one has %v", events)
	}
	for k := 1; k <= remembered+10; k++ {
		c.add(Event{Event: "step", Session: k})
	}
	for after, want := range map[int][3]int{0: {11, remembered, 10}, 10: {11, remembered, 0}, remembered: {remembered + 1, 10, 0}, remembered + 10: {remembered + 11, 0, 0}} {
		events, first, lost, more := c.after(after)
		if first != want[0] || len(events) != want[1] || lost != want[2] || len(events) > 0 && events[0].Session != first {
			t.Errorf("after %d: %d events from %d, %d lost", after, len(events), first, lost)
		}
		select {
		case <-more:
			t.Error("there is said to be more")
		default:
		}
	}
	_, _, _, more := c.after(c.latest())
	c.add(Event{})
	<-more
}

// What we tell of a connection comes after what the node has told of it before.
func TestChronicleIsInOrder(t *testing.T) {
	c := newChronicle()
	notices := make(chan node.Notice, 64)
	ended := make(chan struct{})
	go func() { defer close(ended); c.follow(notices) }()
	for k := range 1000 {
		for range k % 5 {
			notices <- node.Notice{What: node.PathLost{Session: k}}
		}
		c.tell(Event{Event: "ended", Session: k})
		events, _, _, _ := c.after(c.latest() - k%5 - 1)
		for n, e := range events {
			want := "path_lost"
			if n == len(events)-1 {
				want = "ended"
			}
			if e.Event != want || e.Session != k {
				t.Fatalf("%d of %d is %q of %d, and not of %d", n, len(events), e.Event, e.Session, k)
			}
		}
	}
	close(notices)
	<-ended
	c.tell(Event{Event: "ended"}) // also then
}
