package broker_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/signaling/broker"
)

const nameTopic = "sallyport/1/name-0123456789abcdef"

// rising keeps what is greater than what is there.
func rising(_ string, old, new []byte) error {
	if bytes.Compare(new, old) <= 0 {
		return errors.New("not greater")
	}
	return nil
}

func TestRetained(t *testing.T) {
	var day atomic.Int64
	b := start(t, broker.Config{Retain: rising, Now: func() time.Time { return time.Unix(1e9, 0).AddDate(0, 0, int(day.Load())) }})
	c := connect(t, options(b.URL()))
	kept := func(on string) string {
		t.Helper()
		d := connect(t, options(b.URL()))
		got := listen(t, d, on, 0)
		wait(t, d.Publish(on, 0, false, "mark")) // comes after what is kept
		if m := next(t, got); m != "mark" {
			return m
		}
		return ""
	}
	refused := func() func(uint64) {
		was := b.Stats().Refused
		return func(n uint64) {
			t.Helper()
			until(t, "publishes refused", func() bool { return b.Stats().Refused == was+n })
		}
	}
	wait(t, c.Publish(nameTopic, 1, true, "b"))
	if got := kept(nameTopic); got != "b" {
		t.Fatalf("kept %q", got)
	}
	count := refused()
	wait(t, c.Publish(nameTopic, 1, true, "a"))
	wait(t, c.Publish(nameTopic, 1, true, "")) // how MQTT deletes
	wait(t, c.Publish(nameTopic, 1, true, strings.Repeat("x", broker.MaxRetained+1)))
	wait(t, c.Publish(topic(t), 1, true, "x")) // no topic of names
	count(4)
	if got := kept(nameTopic); got != "b" {
		t.Errorf("kept %q after hostile publishes", got)
	}
	wait(t, c.Publish(nameTopic, 1, true, "c"))
	if got := kept(nameTopic); got != "c" {
		t.Errorf("kept %q, want the newer", got)
	}
	// One address has twenty topics.
	count = refused()
	for n := range 20 {
		wait(t, c.Publish(fmt.Sprintf("sallyport/1/name-%d", n), 1, true, "x"))
	}
	count(1)
	// After a week it is forgotten, and there is room again.
	day.Store(7)
	wait(t, c.Publish("sallyport/1/name-later", 1, true, "x"))
	if got := kept(nameTopic); got != "" {
		t.Errorf("%q is kept for ever", got)
	}
	if got := kept("sallyport/1/name-later"); got != "x" {
		t.Errorf("kept %q", got)
	}
}
