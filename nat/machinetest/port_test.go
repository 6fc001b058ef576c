package machinetest_test

import (
	"net"
	"syscall"
	"testing"

	"github.com/libp2p/go-reuseport"

	"github.com/sallyport-net/sallyport/nat/errno"
	"github.com/sallyport-net/sallyport/nat/machinetest"
)

func TestClosedPort(t *testing.T) {
	at := machinetest.ClosedPort(t, "127.0.0.1").String()
	refused := func() {
		t.Helper()
		if c, err := net.Dial("tcp", at); !errno.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a dial meets %v, %v", c, err)
		}
	}
	refused()
	for _, listen := range []func(network, address string) (net.Listener, error){net.Listen, reuseport.Listen} {
		l, err := listen("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		l.Close()
		refused()
	}
}
