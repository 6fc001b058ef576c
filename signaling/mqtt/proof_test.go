package mqtt_test

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	mochipackets "github.com/mochi-mqtt/server/v2/packets"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/broker/brokertest"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
	"github.com/sallyport-net/sallyport/signaling/proof"
)

func newPrivate(t testing.TB) address.PrivateKey {
	t.Helper()
	k, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// owner is the config of whom k belongs to.
func owner(k address.PrivateKey, url string) mqtt.Config {
	return mqtt.Config{Key: k.Public(), Sign: k.Sign, Brokers: at(url)}
}

// refusal gives what a channel meets that can't be opened.
func refusal(t testing.TB, c mqtt.Config) string {
	t.Helper()
	brokers := c.Brokers
	c.Brokers = nil
	leave, err := newChannel(t, c).Join(deadline(t), brokers)
	if err == nil {
		leave()
		t.Fatal("open")
	}
	return err.Error()
}

// The owner of a key hears what strangers publish for it; nobody else does, on
// any transport.
func TestOnlyTheOwnerListens(t *testing.T) {
	cert := brokertest.CertificateFor(t, "localhost")
	b := startStrict(t, brokertest.Everywhere(cert))
	for _, url := range b.URLs() {
		url = strings.Replace(url, "127.0.0.1", "localhost", 1)
		scheme, _, _ := strings.Cut(url, ":")
		t.Run(scheme, func(t *testing.T) {
			mine, theirs := newPrivate(t), newPrivate(t)
			config := func(c mqtt.Config) mqtt.Config { c.TLS = cert.Client(); return c }
			me := newChannel(t, config(owner(mine, url)))
			untilOpen(t, me, 1)
			other := newChannel(t, config(owner(theirs, url)))
			untilOpen(t, other, 1)
			if err := other.Publish(deadline(t), mine.Public(), at(url), []byte("for the owner")); err != nil {
				t.Fatal(err)
			}
			receive(t, me, "for the owner")

			thief := owner(theirs, url)
			thief.Key = mine.Public()
			if said := refusal(t, config(thief)); !strings.Contains(said, `refused the proof of our key, and thus the subscription: is "localhost" one of its names?`) {
				t.Errorf("with another's signature: %s", said)
			}
			if said := refusal(t, config(mqtt.Config{Key: mine.Public(), Brokers: at(url)})); !strings.Contains(said, "broker wants a proof") {
				t.Errorf("without a signature: %s", said)
			}
		})
	}
	if s := b.Stats(); s.Proven != 8 || s.Unproven == 0 || s.Refused != 0 {
		t.Errorf("stats %+v", s)
	}
}

// A challenge that comes after the SUBSCRIBE is met all the same.
func TestChallengeThatComesLate(t *testing.T) {
	c := proof.NewChallenge()
	shown := make(chan []byte, 1)
	addr := listen(t, func(conn net.Conn) {
		_, _ = packets.ReadPacket(conn) // CONNECT
		_, _ = conn.Write([]byte{0x20, 2, 0, 0})
		first, _ := packets.ReadPacket(conn)
		early, ok := first.(*packets.SubscribePacket)
		if !ok {
			t.Errorf("got %v, want SUBSCRIBE", first)
			return
		}
		_, _ = conn.Write(append(c.Packet(), 0x90, 3, byte(early.MessageID>>8), byte(early.MessageID), 0x80))
		second, _ := packets.ReadPacket(conn)
		answer, ok := second.(*packets.PublishPacket)
		if !ok || answer.TopicName != proof.Topic || answer.Qos != 0 || answer.Retain {
			t.Errorf("got %v, want a proof", second)
			return
		}
		shown <- answer.Payload
		third, _ := packets.ReadPacket(conn)
		again, ok := third.(*packets.SubscribePacket)
		if !ok {
			t.Errorf("got %v, want SUBSCRIBE again", third)
			return
		}
		_, _ = conn.Write([]byte{0x90, 3, byte(again.MessageID >> 8), byte(again.MessageID), 0})
		hold(conn)
	})
	k := newPrivate(t)
	untilOpen(t, newChannel(t, owner(k, "tcp://"+addr)), 1)
	if key, host, err := proof.Check(c, <-shown); err != nil || key != k.Public() || host != "127.0.0.1" {
		t.Errorf("%v, %q, %v", key, host, err)
	}
}

// A broker that passes another's challenge on to a node gets a proof for its
// own name, which is of no use there.
func TestProofIsForOneBroker(t *testing.T) {
	honest := startStrict(t, broker.Config{})
	l, err := net.Listen("tcp", "127.0.0.2:0") // the liar, under an address of its own
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer l.Close()
	wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", honest.Addr().String())
			if err != nil {
				near.Close()
				return
			}
			wg.Go(func() { pipe(near, far) })
			wg.Go(func() { pipe(far, near) })
		}
	})
	if said := refusal(t, owner(newPrivate(t), "tcp://"+l.Addr().String())); !strings.Contains(said, `is "127.0.0.2" one of its names?`) {
		t.Errorf("through the liar: %s", said)
	}
	if s := honest.Stats(); s.Proven != 0 || s.Unproven == 0 {
		t.Errorf("stats %+v", s)
	}
	// It is the name that is wrong: where it is one of the broker's, it opens.
	named := startStrict(t, broker.Config{Listen: "127.0.0.3:0", Names: func(h string) bool { return h == "localhost" }})
	untilOpen(t, newChannel(t, owner(newPrivate(t), named.URL())), 1)
}

func pipe(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// ordinary is a hook that lets everybody do everything, and notes what a broker that knows nothing of us sees.
type ordinary struct {
	mochi.HookBase
	mu        sync.Mutex
	user      []byte
	password  []byte
	published []string
}

func (*ordinary) ID() string { return "ordinary" }

func (*ordinary) Provides(hook byte) bool {
	return hook == mochi.OnConnectAuthenticate || hook == mochi.OnACLCheck || hook == mochi.OnConnect || hook == mochi.OnPublish
}

func (*ordinary) OnConnectAuthenticate(*mochi.Client, mochipackets.Packet) bool { return true }

func (*ordinary) OnACLCheck(*mochi.Client, string, bool) bool { return true }

func (o *ordinary) OnConnect(_ *mochi.Client, pk mochipackets.Packet) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.user, o.password = append(o.user, pk.Connect.Username...), append(o.password, pk.Connect.Password...)
	return nil
}

func (o *ordinary) OnPublish(_ *mochi.Client, pk mochipackets.Packet) (mochipackets.Packet, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.published = append(o.published, pk.TopicName)
	return pk, nil
}

// A broker that is not ours sees no name, no password and no proof.
func TestOrdinaryBroker(t *testing.T) {
	s := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	seen := &ordinary{}
	if err := s.AddHook(seen, nil); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddListener(listeners.NewNet("tcp", l)); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	url := "tcp://" + l.Addr().String()
	mine := newPrivate(t)
	me, other := newChannel(t, owner(mine, url)), newChannel(t, owner(newPrivate(t), url))
	untilOpen(t, me, 1)
	untilOpen(t, other, 1)
	if err := other.Publish(deadline(t), mine.Public(), at(url), []byte("as ever")); err != nil {
		t.Fatal(err)
	}
	receive(t, me, "as ever")
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if len(seen.user)+len(seen.password) != 0 || len(seen.published) != 1 || seen.published[0] != signaling.Topic(mine.Public()) {
		t.Errorf("it saw user %q, password %q, publishes %q", seen.user, seen.password, seen.published)
	}
}

// What a broker gets that only wants a signature is of use to nobody: one for
// each connection, and only ever under our own label.
func TestChallengesAreAnsweredOnce(t *testing.T) {
	answers := make(chan []byte, 10)
	addr := listen(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1024)) // CONNECT
		first, second := proof.Challenge{1}.Packet(), proof.Challenge{2}.Packet()
		_, _ = c.Write(append(append([]byte{0x20, 2, 0, 0}, first...), second...))
		var all []byte
		buf := make([]byte, 4096)
		_ = c.SetReadDeadline(time.Now().Add(patience))
		for !bytes.Contains(all, []byte("sallyport/1/")) { // up to the SUBSCRIBE
			n, err := c.Read(buf)
			if err != nil {
				break
			}
			all = append(all, buf[:n]...)
		}
		select {
		case answers <- all:
		default: // enough
		}
		c.Close()
	})
	k := newPrivate(t)
	refusal(t, owner(k, "tcp://"+addr))
	all := <-answers
	if n := bytes.Count(all, []byte(proof.Topic)); n != 1 {
		t.Fatalf("%d proofs", n)
	}
	_, answer, _ := bytes.Cut(all, []byte(proof.Topic))
	answer = answer[:bytes.Index(answer, []byte("127.0.0.1"))+len("127.0.0.1")]
	if key, host, err := proof.Check(proof.Challenge{1}, answer); err != nil || key != k.Public() || host != "127.0.0.1" {
		t.Errorf("%v, %q, %v", key, host, err)
	}
}
