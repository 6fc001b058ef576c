package portmap

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/nat/natlab"
)

// playMapping, in the environment, makes this binary listen on the port of the
// role that it holds, map it, and print the external endpoint whenever it
// changes; until SIGTERM or the end of its input. At each line of that it looks
// at the router anew. Or it only asks what the router offers, and prints that.
const playMapping = "SALLYPORT_TEST_PORTMAP"

type role struct {
	Local           netip.Addr
	Port            uint16
	Protocols       []Protocol
	Lifetime, Check time.Duration
	Patience        time.Duration
	Ask             bool
}

func TestMain(m *testing.M) {
	natlab.Main()
	if text := os.Getenv(playMapping); text != "" {
		if err := play(text); err != nil {
			fmt.Println("error:", strings.ReplaceAll(err.Error(), "\n", "; "))
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func play(text string) error {
	var r role
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if r.Ask {
		o, err := Discover(ctx, Config{Local: r.Local, discovery: r.Patience, request: r.Patience})
		fmt.Printf("%v", o)
		return err
	}
	l, err := net.Listen("tcp", netip.AddrPortFrom(r.Local, r.Port).String())
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("welcome"))
			_ = c.Close()
		}
	}()
	m, err := Open(ctx, Config{Local: r.Local, Port: r.Port, Protocols: r.Protocols, Lifetime: r.Lifetime, Check: r.Check, discovery: r.Patience, request: r.Patience,
		OnChange: func(e netip.AddrPort) { fmt.Println("now", e) }})
	if err != nil {
		return err
	}
	defer m.Close()
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			m.Recheck()
		}
		stop()
	}()
	<-ctx.Done()
	return nil
}
