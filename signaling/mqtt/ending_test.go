package mqtt_test

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// wrapped is a connection in which a socket can be found, but not as a TCPConn.
type wrapped struct {
	net.Conn
	tcp *net.TCPConn
}

func (w wrapped) SyscallConn() (syscall.RawConn, error) { return w.tcp.SyscallConn() }

// opaque is one in which it can't be found.
type opaque struct{ net.Conn }

func TestHowConnectionsEnd(t *testing.T) {
	for name, wrap := range map[string]func(*net.TCPConn) net.Conn{
		"TCPConn": func(c *net.TCPConn) net.Conn { return c },
		"wrapped": func(c *net.TCPConn) net.Conn { return wrapped{c, c} },
	} {
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return wrap(c.(*net.TCPConn)), nil
		}
		t.Run(name+" lost", func(t *testing.T) {
			end := make(chan error, 10)
			addr := listen(t, func(c net.Conn) {
				if accept(t, c) != nil {
					_, _ = c.Write([]byte{0, 0})
					_, err := io.Copy(io.Discard, c)
					end <- err
				}
			})
			newChannel(t, mqtt.Config{Brokers: at("tcp://" + addr), Dial: dial, MinBackoff: time.Minute})
			if err := <-end; !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("ended with %v, want a reset", err)
			}
		})
		t.Run(name+" closed", func(t *testing.T) {
			end := make(chan error, 10)
			last := make(chan packets.ControlPacket, 10)
			addr := listen(t, func(c net.Conn) {
				if accept(t, c) != nil {
					p, _ := packets.ReadPacket(c)
					last <- p
					_, err := io.Copy(io.Discard, c)
					end <- err
				}
			})
			c := newChannel(t, mqtt.WithGoodbye(mqtt.Config{Brokers: at("tcp://" + addr), Dial: dial}, patience))
			untilOpen(t, c, 1)
			c.Close()
			if p, ok := (<-last).(*packets.DisconnectPacket); !ok {
				t.Errorf("last packet %v, want DISCONNECT", p)
			}
			if err := <-end; err != nil {
				t.Errorf("ended with %v, want EOF", err)
			}
		})
	}
}

func TestRTTWithoutASocket(t *testing.T) {
	b := startBroker(t, broker.Config{})
	begin := time.Now()
	c := newChannel(t, mqtt.Config{Brokers: at(b.URL()),
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return opaque{c}, err
		}})
	untilOpen(t, c, 1)
	if rtt := c.RTT(at(b.URL())[0]); rtt <= 0 || rtt > time.Since(begin) {
		t.Errorf("RTT %v", rtt)
	}
}
