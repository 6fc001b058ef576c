package transfer

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A sender that dribbles its offer must not keep a receiver, which serves one at
// a time, from others for ever.
func TestDribbledOfferIsGivenUp(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		us, them := net.Pipe()
		var all sync.WaitGroup
		defer all.Wait()
		defer us.Close()
		all.Go(func() { _, _ = io.Copy(io.Discard, them) })
		begun := time.Now()
		all.Go(func() {
			defer them.Close()
			for _, b := range say(entry("a", 5), entry("b", 5), entry("c", 5), frame(kindOffered)) {
				if _, err := them.Write([]byte{b}); err != nil || time.Since(begun) > time.Hour {
					return
				}
				time.Sleep(time.Minute)
			}
		})
		_, err = Receiver{Root: root}.Receive(t.Context(), us)
		if took := time.Since(begun); !errors.Is(err, os.ErrDeadlineExceeded) || took > offerTime+time.Second {
			t.Errorf("given up after %v: %v", took, err)
		}
	})
}
