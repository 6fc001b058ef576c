package circuit

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

func TestAskAndAnswer(t *testing.T) {
	for _, want := range []Status{Joined, Refused, Busy, Absent, Unsupported, 77} {
		near, far := net.Pipe()
		r := Request{Op: From, Node: node(t, 3)}
		asked := make(chan error, 1)
		go func() {
			got, err := Next(far)
			if err == nil && !same(got, r) {
				err = errors.New("another request came")
			}
			asked <- errors.Join(err, Answer(far, want))
		}()
		err := Ask(context.Background(), near, r)
		var no *Error
		if (want == Joined) != (err == nil) || err != nil && (!errors.As(err, &no) || no.Status != want || no.Hint() == "") {
			t.Errorf("status %d gave %v", want, err)
		}
		if err := <-asked; err != nil {
			t.Error(err)
		}
		near.Close()
		far.Close()
	}
}

// What is no request is told so, as long as it is long enough to be seen.
func TestGarbageIsAnswered(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go func() { _, _ = near.Write([]byte("GET / HTTP/1.1")) }()
	heard := make(chan []byte, 1)
	go func() {
		b := make([]byte, 2)
		_ = near.SetReadDeadline(time.Now().Add(time.Minute))
		_, _ = near.Read(b)
		heard <- b
	}()
	if _, err := Next(far); !errors.Is(err, errUnsupported) {
		t.Errorf("error %v", err)
	}
	if b := <-heard; b[0] != version || Status(b[1]) != Unsupported {
		t.Errorf("answered %v", b)
	}
}

// Whoever waits for an answer waits no longer than it wants to.
func TestAskEnds(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go func() { _, _ = Next(far) }() // and never answers
	ctx, cancel := context.WithTimeoutCause(context.Background(), 30*time.Millisecond, errors.New("enough"))
	defer cancel()
	if err := Ask(ctx, near, Request{Op: Await, Node: node(t, 3)}); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("error %v", err)
	}
}
