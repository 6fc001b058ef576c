package serve

import "testing"

func TestWithHost(t *testing.T) {
	for _, c := range [][3]string{
		{"tcp://0.0.0.0:1883", "192.0.2.1", "tcp://192.0.2.1:1883"},
		{"wss://[::1]:443/mqtt", "broker.example.org", "wss://broker.example.org:443/mqtt"},
		{"tcp://127.0.0.1:1", "2001:db8::1", "tcp://[2001:db8::1]:1"},
	} {
		if got := withHost(c[0], c[1]); got != c[2] {
			t.Errorf("got %q, want %q", got, c[2])
		}
	}
}
