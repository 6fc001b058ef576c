package registry

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/sallyport-net/sallyport/node/nickname"
)

func TestQuota(t *testing.T) {
	c := &clock{}
	s := serve(t, Config{PerIPv4: 3, MaxNames: 5}, c)
	claim := func(n string) nickname.Status { return s.bring(t, signed(t, alice, n, 1, c.now())) }
	for _, n := range []string{"one.peer", "two.peer", "three.peer"} {
		if no := claim(n); no != "" {
			t.Fatal(no)
		}
	}
	if no := claim("four.peer"); no != nickname.Full {
		t.Errorf("a fourth: %q", no)
	}
	if no := s.bring(t, signed(t, alice, "one.peer", 2, c.now())); no != "" {
		t.Errorf("a renewal: %q", no)
	}
	if no := s.bring(t, released(t, alice, "two.peer", 2, c.now())); no != "" {
		t.Errorf("a release: %q", no)
	}
	if no := claim("four.peer"); no != "" {
		t.Errorf("after a release: %q", no)
	}
	// Others have room, until there is none for anybody.
	from := func(remote, n string) nickname.Status {
		t.Helper()
		body, _ := json.Marshal(nickname.NewRequest(name(t, n), signed(t, alice, n, 1, c.now()).Bytes()))
		h := httptest.NewRequest(http.MethodPost, nickname.RegistryPath, bytes.NewReader(body))
		h.RemoteAddr = remote
		w := httptest.NewRecorder()
		s.ServeHTTP(w, h)
		var p nickname.Reply
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
		return p.Status
	}
	if got := from("[2001:db8::1]:5", "five.peer"); got != nickname.Stored {
		t.Errorf("another address: %q", got)
	}
	if got := from("[2001:db8::ffff:1]:5", "six.peer"); got != nickname.Stored {
		t.Errorf("its neighbour: %q", got)
	}
	if got := from("192.0.2.1:5", "seven.peer"); got != nickname.Full {
		t.Errorf("a sixth name in a registry of five: %q", got)
	}
	if from, limit := s.origin("[2001:db8::1]:5"); from != "2001:db8::/64" || limit != 5 {
		t.Errorf("%s, %d", from, limit)
	}
	if from, limit := s.origin("[::ffff:192.0.2.1]:5"); from != "192.0.2.1" || limit != 3 {
		t.Errorf("%s, %d", from, limit)
	}
	if _, limit := s.origin("@"); limit != 0 {
		t.Error("an address that is none has room")
	}
}

// Whoever opens connections and says nothing must not keep others out.
func TestPlaces(t *testing.T) {
	p := &places{from: make(map[string]int)}
	var leave []func()
	for range 2 * maxParallel {
		if l, ok := p.enter("192.0.2.1"); ok {
			leave = append(leave, l)
		}
	}
	if _, ok := p.enter("192.0.2.2"); !ok || len(leave) != maxParallelEach {
		t.Fatalf("one address has %d of %d places, and another one gets in: %v", len(leave), maxParallel, ok)
	}
	for _, l := range leave {
		l()
		l()
	}
	if len(p.from) != 1 || p.taken != 1 {
		t.Errorf("%d are left of %v", p.taken, p.from)
	}
	for n := range 2 * maxParallel {
		_, _ = p.enter(strconv.Itoa(n))
	}
	if p.taken != maxParallel {
		t.Errorf("%d connections at once", p.taken)
	}
}
