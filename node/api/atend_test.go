package api

import (
	"context"
	"testing"
	"time"
)

// A deadline that the end of one request sets must not befall the next one.
func TestAtEndIsOver(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	begun, ran := make(chan struct{}), false
	over := atEnd(ctx, func() {
		close(begun)
		time.Sleep(time.Millisecond) // it may be slow
		ran = true
	})
	cancel()
	<-begun
	over()
	if !ran {
		t.Error("it is still to come")
	}
	over = atEnd(context.Background(), func() { t.Error("it has come, though nothing has ended") })
	over()
}
