package link

import (
	"errors"
	"io"
	"testing"
	"time"
)

// chosen gives the ends of a link that was nominated and admitted.
func chosen(t *testing.T) (a, b *Conn) {
	t.Helper()
	caller, callee := pair(t)
	a, err := caller.Nominate([16]byte{1}, Session)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := callee.Nomination(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if b, err = callee.Admit(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// A connection that is cut between two records must not look like one that has
// ended: what has arrived is not all.
func TestCutIsNoEnd(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*Conn) error
		want error
	}{
		"half-closed": {(*Conn).CloseWrite, io.EOF},
		"closed":      {(*Conn).Close, io.EOF},
		"cut":         {func(c *Conn) error { return c.NetConn().Close() }, ErrCut},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := chosen(t)
			defer b.Close()
			defer a.Close()
			if err := a.Verdict(); err != nil { // else unread input would make the end an RST
				t.Fatal(err)
			}
			if _, err := a.Write([]byte("not all")); err != nil {
				t.Fatal(err)
			}
			if err := c.end(a); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 7)
			if _, err := io.ReadFull(b, got); err != nil || string(got) != "not all" {
				t.Fatalf("got %q, %v", got, err)
			}
			if _, err := b.Read(got); !errors.Is(err, c.want) || errors.Is(err, io.EOF) != (c.want == io.EOF) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// What TLS refuses is told from a cut, and from the news that the peer has refused
// something.
func TestForgedRecordsAreNamed(t *testing.T) {
	for name, made := range map[string][]byte{
		"a record of nobody's": append([]byte{23, 3, 3, 0, 64}, make([]byte, 64)...), // RFC 8446 §5.2
		"another protocol":     []byte("GET / HTTP/1.1\r\n\r\n"),
		"too long a record":    {23, 3, 3, 0xff, 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := chosen(t)
			defer b.Close()
			defer a.Close()
			if _, err := a.NetConn().Write(made); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 1)
			for range 2 { // it stays so
				if _, err := b.Read(got); !errors.Is(err, ErrForged) || errors.Is(err, ErrCut) {
					t.Errorf("the victim's error is %v", err)
				}
			}
			if _, err := a.Read(got); err == nil || errors.Is(err, ErrForged) || errors.Is(err, io.EOF) {
				t.Errorf("the other end's error is %v", err)
			}
		})
	}
}
