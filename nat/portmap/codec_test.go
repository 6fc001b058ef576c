package portmap

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"net/url"
	"testing"
	"time"
)

func TestRequests(t *testing.T) {
	client := netip.MustParseAddrPort("192.168.1.10:4000")
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"address":  {pmpAddressRequest(), "0000"},
		"map":      {pmpMapRequest(4000, 4001, time.Hour), "000200000fa00fa100000e10"},
		"announce": {pcpAnnounceRequest(client.Addr()), "0200000000000000" + "00000000000000000000ffffc0a8010a"},
		"pcp": {pcpMapRequest(client, netip.AddrPortFrom(netip.Addr{}, 4001), nonce{1}, time.Hour),
			"0201000000000e1000000000000000000000ffffc0a8010a" + "010000000000000000000000" + "06000000" + "0fa00fa1" + "00000000000000000000ffff00000000"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestEpoch(t *testing.T) {
	now := time.Now()
	old := epoch{1000, now, true}
	for name, c := range map[string]struct {
		next epoch
		want bool
	}{
		"steady":  {epoch{1100, now.Add(100 * time.Second), true}, false},
		"slow":    {epoch{1090, now.Add(100 * time.Second), true}, false},
		"restart": {epoch{5, now.Add(100 * time.Second), true}, true},
		"jitter":  {epoch{999, now, true}, false},
	} {
		if got := old.restarted(c.next); got != c.want {
			t.Errorf("%s: restarted is %v", name, got)
		}
	}
	if (epoch{}).restarted(old) {
		t.Error("the first epoch is no restart")
	}
}

func FuzzParse(f *testing.F) {
	pcp := append([]byte{2, 129, 0, 0, 0, 0, 14, 16, 0, 0, 0, 9}, make([]byte, 48)...)
	pcp[36] = protocolTCP
	for _, b := range [][]byte{pcp, {0, 128, 0, 0, 0, 0, 0, 9, 52, 1, 2, 3},
		[]byte("HTTP/1.1 200 OK\r\nLocation: http://192.168.1.1:80/d.xml\r\n\r\n"),
		[]byte("<root><service><serviceType>" + connections[1] + "</serviceType><controlURL>/c</controlURL></service></root>"),
		[]byte("<s:Fault><errorCode>718</errorCode></s:Fault>")} {
		f.Add(b)
	}
	gateway := netip.MustParseAddr("192.168.1.1")
	base, _ := url.Parse("http://192.168.1.1:5000/d.xml")
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		for _, opcode := range []byte{0, 1, 2} {
			_, _ = parsePMP(b, opcode)
			_, _ = parsePCP(b, opcode)
		}
		if u, err := parseSearch(b, gateway); err == nil && u.Hostname() != gateway.String() {
			t.Errorf("a search leads to %v", u)
		}
		if s, err := parseDescription(b, base, gateway, connections); err == nil && (s.control.Hostname() != gateway.String() || s.control.Scheme != "http") {
			t.Errorf("a description leads to %v", s.control)
		}
		_, _ = parseSOAP(b)
		if !bytes.Equal(b, before) {
			t.Error("a parser wrote to its input")
		}
	})
}
