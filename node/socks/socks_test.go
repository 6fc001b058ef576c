package socks

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/node/tunnel"
)

// client is what a client says, and what it is told.
type client struct {
	*bytes.Reader
	told bytes.Buffer
}

func (c *client) Write(p []byte) (int, error) { return c.told.Write(p) }

const hello = "\x05\x01\x00"

func TestHandshake(t *testing.T) {
	for _, c := range []struct{ says, place, err, told string }{
		{hello + "\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50", "127.0.0.1:80", "", "\x05\x00"},
		{"\x05\x02\x02\x00\x05\x01\x00\x03\x0bExample.ORG\x01\xbb", "example.org:443", "", "\x05\x00"},
		{hello + "\x05\x01\x00\x04" + strings.Repeat("\x00", 15) + "\x01\x00\x50", "[::1]:80", "", "\x05\x00"},
		{hello + "\x05\x01\x00\x03\x09127.0.0.1\x00\x50", "127.0.0.1:80", "", "\x05\x00"},
		{"\x05\x01\x02", "", "authentication", "\x05\xff"},
		{"\x05\x00", "", "authentication", "\x05\xff"},
		{"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", "", "does not speak", ""},
		{"GET / HTTP/1.1\r\n", "", "does not speak", ""},
		{hello + "\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00", "", "only CONNECT", "\x05\x00\x05\x07"},
		{hello + "\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00", "", "only CONNECT", "\x05\x00\x05\x07"},
		{hello + "\x05\x01\x00\x02", "", "address type", "\x05\x00\x05\x08"},
		{hello + "\x05\x01\x00\x03\x00\x00\x50", "", "missing", "\x05\x00\x05\x01"},
		{hello + "\x05\x01\x00\x03\x03a b\x00\x50", "", "host name", "\x05\x00\x05\x01"},
		{hello + "\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x00", "", "port", "\x05\x00\x05\x01"},
		{hello + "\x05\x01\x00\x01\x7f\x00", "", "EOF", "\x05\x00"},
		{hello + "\x04\x01\x00\x01", "", "does not speak", "\x05\x00"},
		{"", "", "EOF", ""},
	} {
		const rest = "what follows"
		says := c.says
		if c.err == "" {
			says += rest
		}
		conn := &client{Reader: bytes.NewReader([]byte(says))}
		p, err := Handshake(conn)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q gives %v", c.says, err)
		}
		if err == nil && (p.String() != c.place || conn.Len() != len(rest)) {
			t.Errorf("%q leads to %v and leaves %d bytes", c.says, p, conn.Len())
		}
		if told := conn.told.String(); !strings.HasPrefix(told, c.told) || len(told) > 2 && len(told) != 12 || c.err == "" && told != c.told {
			t.Errorf("%q is told %q", c.says, told)
		}
	}
}

func TestCodes(t *testing.T) {
	for s, want := range map[tunnel.Status]Code{
		tunnel.Done: Succeeded, tunnel.NotAllowed: NotAllowed, tunnel.Refused: ConnectionRefused, tunnel.Unreachable: HostUnreachable,
		tunnel.NotFound: HostUnreachable, tunnel.TimedOut: TTLExpired, tunnel.Busy: GeneralFailure, tunnel.Failed: GeneralFailure,
	} {
		if got := CodeOf(s); got != want {
			t.Errorf("%v is told as %d, not %d", s, got, want)
		}
	}
}

func FuzzHandshake(f *testing.F) {
	f.Add([]byte(hello + "\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50"))
	f.Add([]byte(hello + "\x05\x01\x00\x03\x03abc\x00\x50"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &client{Reader: bytes.NewReader(b)}
		p, err := Handshake(c)
		if read := len(b) - c.Len(); read > 519 || c.told.Len() > 12 {
			t.Errorf("%x: %d bytes read, %d told", b, read, c.told.Len())
		}
		if err == nil {
			if again, err := tunnel.ParsePlace(p.String()); err != nil || again != p {
				t.Errorf("%x leads to %v, %v", b, p, err)
			}
		}
	})
}
