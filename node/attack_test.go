package node_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat"
	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
	"github.com/sallyport-net/sallyport/signaling/seal"
)

// attacker is somebody on the internet with a key and a connection to the
// broker, who can write any bytes to any topic and read every topic.
type attacker struct {
	t       testing.TB
	host    *natlab.Host
	key     address.PrivateKey
	channel *mqtt.Channel
	brokers []address.Broker
}

func (w *world) attacker(brokers ...string) *attacker {
	w.t.Helper()
	key, err := address.GenerateKey()
	if err != nil {
		w.t.Fatal(err)
	}
	a := &attacker{t: w.t, host: w.host("attacker", nil), key: key}
	for _, url := range brokers {
		a.brokers = append(a.brokers, address.Broker{URL: url})
	}
	a.channel = w.listener(a.host, key.Public(), a.brokers)
	return a
}

// listener subscribes to the topic of any key: brokers let everyone read
// everything.
func (w *world) listener(h *natlab.Host, topic address.Key, brokers []address.Broker) *mqtt.Channel {
	w.t.Helper()
	ch, err := mqtt.New(mqtt.Config{Key: topic, Brokers: brokers, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		return h.Dial(ctx, nil, network, addr)
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { ch.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := ch.Wait(ctx); err != nil {
		w.t.Fatal(err)
	}
	return ch
}

func (a *attacker) send(to address.Key, payload []byte) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := a.channel.Publish(ctx, to, a.brokers, payload)
	for errors.Is(err, mqtt.ErrNotOpen) && a.channel.Wait(ctx) == nil { // brokers may drop an attacker
		err = a.channel.Publish(ctx, to, a.brokers, payload)
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

// claim is a message that asks for packets to victim, which the attacker signs
// as its own address.
func (a *attacker) claim(kind signaling.Kind, victim ...netip.AddrPort) signaling.Message {
	m := signaling.Message{
		Kind: kind, ID: randomID(), Attempt: randomID(), Sent: time.Now().UnixMilli(), TTL: 30_000,
		From: address.Address{Brokers: a.brokers, Key: a.key.Public(), V4: []address.Interface{{
			External: victim[0].Addr(), Internal: victim[0].Addr(), Port: victim[0].Port(), NAT: nat.PortRestricted, Delta: nat.Delta{Kind: nat.Equal},
		}}},
	}
	switch kind {
	case signaling.KindDirect:
		m.Direct = &signaling.Direct{Secret: randomID(), Dial: victim}
	case signaling.KindRelay:
		m.Relay = &signaling.Relay{Secret: randomID(), Dial: victim, Loan: &signaling.Loan{At: victim[len(victim)-1], User: "user", Password: "password"}}
	case signaling.KindPunch:
		m.Punch = &signaling.Punch{Secret: randomID(), Role: signaling.RoleDialer, From: victim, To: victim[:1], At: victim[0]}
	}
	return m
}

func (a *attacker) seal(to address.Key, m signaling.Message) []byte {
	a.t.Helper()
	body, err := signaling.Encode(m)
	if err != nil {
		a.t.Fatal(err)
	}
	sealed, err := seal.Seal(a.key, to, body)
	if err != nil {
		a.t.Fatal(err)
	}
	return sealed
}

func randomID() (id signaling.ID) {
	_, _ = rand.Read(id[:])
	return id
}

// counter counts the packets that arrive at the core on their way to one host.
type counter struct {
	mu      sync.Mutex
	packets []natlab.Packet
}

func (w *world) count(to netip.Addr) *counter {
	c := &counter{}
	w.t.Cleanup(w.lab.Watch(func(p natlab.Packet) {
		if p.Dst.Addr() == to {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.packets = append(c.packets, p)
		}
	}))
	return c
}

func (c *counter) list() []natlab.Packet {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]natlab.Packet(nil), c.packets...)
}

// after waits until a signal of an honest peer, sent after all that the
// attacker sent, has been worked on: whatever the attack could cause at once
// has been caused by then.
func (w *world) after(honest, target *agent) {
	w.t.Helper()
	honest.mustConnect(target.Address, 1000)
}

func endpoints(a netip.Addr, ports ...uint16) []netip.AddrPort {
	var all []netip.AddrPort
	for _, p := range ports {
		all = append(all, netip.AddrPortFrom(a, p))
	}
	return all
}

// No signal that is not whole, fresh and meant for the node may cause a single
// packet to a third host.
func TestAttackBadSignalsMoveNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	target := w.node(w.behind("target", portRestricted(natlab.Drop)))
	honest := w.node(w.behind("honest", portRestricted(natlab.Drop)))
	a := w.attacker(w.broker)
	victim := w.host("victim", nil)
	toVictim := w.count(victim.Addr())
	key := keyOf(t, target.Address)
	other, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	dest := endpoints(victim.Addr(), 80, 443, 8080)
	for _, kind := range []signaling.Kind{signaling.KindDirect, signaling.KindPunch, signaling.KindRelay} {
		good := a.seal(key, a.claim(kind, dest...))
		for n := range len(good) { // forged: every byte in turn is another one
			if n%7 == 0 {
				bad := append([]byte(nil), good...)
				bad[n] ^= 0x40
				a.send(key, bad)
			}
		}
		a.send(key, good[:len(good)/2])
		a.send(key, make([]byte, 12<<10)) // oversized
		a.send(key, a.seal(other.Public(), a.claim(kind, dest...)))
		aged := a.claim(kind, dest...)
		aged.Sent = time.Now().Add(-12 * time.Minute).UnixMilli()
		a.send(key, a.seal(key, aged))
		early := a.claim(kind, dest...)
		early.Sent = time.Now().Add(12 * time.Minute).UnixMilli()
		a.send(key, a.seal(key, early))
		forged := a.claim(kind, dest...) // in somebody else's name
		forged.From.Key = other.Public()
		a.send(key, a.seal(key, forged))
		for _, never := range []string{"127.0.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.255", "10.0.0.1", "192.168.0.1"} {
			// Encode would refuse some of these: an attacker does not use it.
			body, err := signaling.Encode(a.claim(kind, endpoints(victim.Addr(), 80)...))
			if err != nil {
				t.Fatal(err)
			}
			body = bytes.ReplaceAll(body, []byte(victim.Addr().String()+":80"), []byte(never+":80"))
			sealed, err := seal.Seal(a.key, key, body)
			if err != nil {
				t.Fatal(err)
			}
			a.send(key, sealed)
		}
	}
	w.after(honest, target)
	if got := toVictim.list(); len(got) > 0 {
		t.Fatalf("%d packets reached the third host, the first: %v", len(got), got[0])
	}
}

// A recorded signal that is played again moves nothing, however often.
func TestAttackReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	target := w.node(w.behind("target", portRestricted(natlab.Drop)))
	caller := w.node(w.behind("caller", portRestricted(natlab.Drop)))
	a := w.attacker(w.broker)
	key := keyOf(t, target.Address)
	tap := w.listener(a.host, key, a.brokers)
	caller.mustConnect(target.Address, 1000)
	var recorded [][]byte
	for len(recorded) == 0 {
		select {
		case d := <-tap.Deliveries():
			recorded = append(recorded, d.Payload)
		case <-time.After(time.Minute):
			t.Fatal("the signal was not to be heard on the broker")
		}
	}
	toCaller := w.count(caller.host.External())
	for range 50 {
		a.send(key, recorded[0])
	}
	honest := w.node(w.behind("honest", portRestricted(natlab.Drop)))
	w.after(honest, target)
	for _, p := range toCaller.list() {
		if p.SYN() && p.Src.Addr() == target.host.External() {
			t.Fatalf("the replay caused %v", p)
		}
	}
}

// Keys are free, and anyone can sign a victim's address as its own: that may
// cost the victim ten packets for each message, and no more.
func TestAttackReflection(t *testing.T) {
	t.Parallel()
	for _, kind := range []signaling.Kind{signaling.KindDirect, signaling.KindPunch, signaling.KindRelay} {
		for _, victimIs := range []string{"silent", "refusing", "listening"} {
			if kind == signaling.KindRelay && victimIs == "refusing" {
				continue // as P2P_DIRECT
			}
			t.Run(string(kind)+" at a "+victimIs+" victim", func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				target := w.node(w.behind("target", portRestricted(natlab.Drop)))
				a := w.attacker(w.broker)
				var victim *natlab.Host
				if victimIs == "silent" {
					victim = w.behind("victim", &natlab.NAT{Firewall: true})
				} else {
					victim = w.host("victim", nil)
				}
				dest := endpoints(victim.Addr(), 80, 443, 8080, 8443, 9000, 9001)
				if victimIs == "listening" {
					for _, d := range dest {
						l, err := victim.Listen("tcp4", d.String())
						if err != nil {
							t.Fatal(err)
						}
						t.Cleanup(func() { l.Close() })
					}
				}
				toVictim := w.count(victim.Addr())
				key := keyOf(t, target.Address)
				a.send(key, a.seal(key, a.claim(kind, dest...)))
				// It is over when nothing more has come for longer than the
				// longest pause between two SYNs that the rules allow, 4 s.
				for begun := time.Now(); len(toVictim.list()) == 0 && time.Since(begun) < time.Minute; {
					time.Sleep(50 * time.Millisecond)
				}
				quiet := 0
				for last := -1; quiet < 10; time.Sleep(500 * time.Millisecond) {
					if n := len(toVictim.list()); n != last {
						last, quiet = n, 0
					} else {
						quiet++
					}
				}
				got := toVictim.list()
				if len(got) == 0 {
					t.Fatal("an admitted sender's message caused nothing: the test shows nothing")
				}
				if len(got) > 10 {
					for _, p := range got {
						t.Log(p)
					}
					t.Fatalf("%d packets reached the victim", len(got))
				}
			})
		}
	}
}

// Junk at 10,000 messages a second on one broker must not stop a Connect over
// another one. Under the race detector, and on a machine that has other work, a
// fraction of that takes up two processors.
func TestAttackFloodOnOneBroker(t *testing.T) {
	w := newWorld(t)
	second := w.host("second", nil, func(c *natlab.HostConfig) { c.Delay = serverLink })
	w.start(second, role{Serve: []string{second.Addr().String()}, Flooded: true})
	flooded := "tcp://" + second.Addr().String() + ":1883"
	both := func(r *role) { r.Brokers = append(r.Brokers, flooded) }
	target := w.node(w.behind("target", portRestricted(natlab.Drop)), both)
	caller := w.node(w.behind("caller", portRestricted(natlab.Drop)), both)
	a := w.attacker(flooded)
	key := keyOf(t, target.Address)
	ctx, stop := context.WithCancel(context.Background())
	var flood sync.WaitGroup
	defer flood.Wait()
	defer stop()
	sent := make(chan int, 1)
	rate := 10_000.0
	if underRace {
		rate /= 50
	}
	// A machine that is slow already has a smaller one, and no arrears of it.
	const quick = 500 * time.Millisecond
	calm := caller.mustConnect(target.Address, 1000)
	rate *= min(1, quick.Seconds()/calm.Echo.Seconds())
	flood.Go(func() {
		junk := a.seal(key, a.claim(signaling.KindDirect, endpoints(a.host.Addr(), 9)...))
		last, due, n := time.Now(), 0.0, 0
		for ctx.Err() == nil {
			now := time.Now()
			due, last = due+min(now.Sub(last).Seconds(), 0.02)*rate, now
			for ; due >= 1; due, n = due-1, n+1 {
				_, _ = rand.Read(junk[40:80]) // always new, never true
				if a.channel.Publish(ctx, key, a.brokers, junk) != nil {
					break
				}
			}
			time.Sleep(time.Millisecond)
		}
		sent <- n
	})
	const connects = 5
	begun := time.Now()
	for range connects {
		caller.mustConnect(target.Address, 1000)
	}
	took := time.Since(begun)
	stop()
	n := <-sent
	t.Logf("%d connects in %v under %.0f junk messages a second", connects, took.Round(time.Millisecond), float64(n)/took.Seconds())
}

func keyOf(t testing.TB, text string) address.Key {
	t.Helper()
	a, err := address.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return a.Key
}
