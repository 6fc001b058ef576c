package node_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/signaling"
)

// trio is a caller, a callee, and a node between them that relays; relay alone
// is what caller and callee may use.
type trio struct {
	caller, callee, relay *node.Node
	accepted              <-chan io.Closer
}

func only(keys ...address.Key) signaling.Admission { return signaling.Only(keys...) }

func key(t testing.TB) address.PrivateKey {
	t.Helper()
	k, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// relayed starts two nodes that may use relays only.
func meeting(t testing.TB, cfg node.Config, caller, callee func(*node.Config)) (a, b *node.Node) {
	t.Helper()
	ca, cb := cfg, cfg
	ca.Strategies, cb.Strategies = []node.Strategy{node.Relay}, []node.Strategy{node.Relay}
	caller(&ca)
	callee(&cb)
	return start(t, ca), start(t, cb)
}

func swap(t testing.TB, a *node.Node, b *node.Node, size int) *node.Conn {
	t.Helper()
	accepted := accepting(t, b)
	c, err := a.Connect(shortly(t), b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	data := make([]byte, size)
	_, _ = rand.Read(data)
	go func() { _, _ = c.Write(data); _ = c.CloseWrite() }()
	peer := (<-accepted).(*node.Conn)
	defer peer.Close()
	got, err := io.ReadAll(peer)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes of %d came, %v", len(got), size, err)
	}
	go func() { _, _ = peer.Write(data); _ = peer.CloseWrite() }()
	if got, err = io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes of %d came back, %v", len(got), size, err)
	}
	return c
}

var _ = errors.Is
var _ = time.Now

func TestCircuit(t *testing.T) {
	for _, who := range []string{"the caller's", "the callee's"} {
		t.Run(who, func(t *testing.T) {
			cfg := local(t)
			ka, kb := key(t), key(t)
			rc := cfg
			nobody := signaling.Nobody()
			rc.Admission = &nobody
			if who == "the caller's" {
				rc.Relaying.For = only(ka.Public())
			} else {
				rc.Relaying.For = only(kb.Public())
			}
			r := start(t, rc)
			accepting(t, r)
			a, b := meeting(t, cfg, func(c *node.Config) {
				c.Key = ka
				if who == "the caller's" {
					c.RelayNodes = []address.Address{r.Address()}
				}
			}, func(c *node.Config) {
				c.Key = kb
				if who != "the caller's" {
					c.RelayNodes = []address.Address{r.Address()}
				}
			})
			begun := time.Now()
			c := swap(t, a, b, 1<<20)
			t.Logf("%v", time.Since(begun))
			if c.Via() != node.Relay || c.By() != r.ID() {
				t.Errorf("via %s by %s", c.Via(), c.By().Short())
			}
			for _, e := range c.Timeline() {
				t.Logf("%v %s %s", e.At.Round(time.Millisecond), e.Strategy, e.What)
			}
		})
	}
}
