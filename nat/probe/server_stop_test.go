package probe

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"
)

// After Stop connections that stand are served, and UDP; new ones are refused.
// What was served is counted.
func TestStopAndStats(t *testing.T) {
	s, err := NewServer(ServerConfig{Primary: netip.MustParseAddrPort("127.0.0.1:0"), OnePort: true, Rate: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	request := stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(labTime))
	ask := func() {
		t.Helper()
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		if _, err := readMessage(c); err != nil {
			t.Fatal(err)
		}
	}
	ask() // so that it was accepted
	s.Stop()
	if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
		t.Error("still listening")
	}
	ask()
	exchange(t, s.Addr(), request)
	u, err := net.Dial("udp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	for range 20 { // four at once, by the rate
		_, _ = u.Write(request)
	}
	_, _ = u.Write([]byte("no STUN"))
	for end := time.Now().Add(labTime); s.Stats().Malformed == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if st := s.Stats(); st.TCP != 2 || st.UDP+st.Limited != 21 || st.UDP == 0 || st.Limited == 0 || st.Malformed != 1 || st.Connections != 1 {
		t.Errorf("stats %+v", st)
	}
}
