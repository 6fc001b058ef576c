package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A client that is refused and never sends the body that it has announced must
// not keep its connection, of which there are few.
func TestUnreadBodyEndsTheConnection(t *testing.T) {
	for name, body := range map[string]string{
		"a length": "Content-Length: 10\r\n\r\nshort",
		"chunks":   "Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			refused := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { refuse(w, Forbidden, "no", "") })
			server := httptest.NewServer(bounded(refused, 10*time.Millisecond))
			defer server.Close()
			c, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\n%s", body)
			r := bufio.NewReader(c)
			answer, err := http.ReadResponse(r, nil)
			if err != nil || answer.StatusCode != http.StatusForbidden {
				t.Fatalf("%v, %v", answer, err)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			if _, err := io.Copy(io.Discard, r); err != nil {
				t.Errorf("the connection is kept: %v", err)
			}
		})
	}
}
