package signaling

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling/seal"
)

// post is an inbox of testKey(2) with a clock of its own.
type post struct {
	t   testing.TB
	box *Inbox
	now time.Time
}

func newPost(t testing.TB, a Admission) *post {
	p := &post{t: t, now: noon}
	random := rand.New(rand.NewPCG(3, 4))
	p.box = NewInbox(InboxConfig{
		Key: testKey(t, 2), Admission: a, Now: func() time.Time { return p.now }, Random: random.Float64,
	})
	return p
}

// question is a GET_ADDR from sender.
func (p *post) question(sender address.PrivateKey, id int, sent time.Time) Message {
	m := message(p.t, KindGetAddress)
	m.ID, m.Sent, m.From = numbered(id), sent.UnixMilli(), testAddress(sender.Public())
	return m
}

func (p *post) sealed(sender address.PrivateKey, m Message) []byte {
	p.t.Helper()
	body, err := Encode(m)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.sealedBody(sender, body)
}

func (p *post) sealedBody(sender address.PrivateKey, body []byte) []byte {
	p.t.Helper()
	payload, err := seal.Seal(sender, testKey(p.t, 2).Public(), body)
	if err != nil {
		p.t.Fatal(err)
	}
	return payload
}

// arrives sends a payload through both stations.
func (p *post) arrives(broker int, payload []byte) (In, Verdict) {
	d := Delivery{Broker: address.Broker{Index: broker}, Payload: payload}
	if !p.box.Screen(d) {
		return In{}, Drop
	}
	return p.box.Open(d)
}

// junk is what anybody who knows a node's topic can publish.
func junk(n int) []byte {
	b := make([]byte, seal.Buckets[0])
	random := rand.New(rand.NewPCG(uint64(n), 5))
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], random.Uint64())
	}
	b[0], b[1] = seal.Version, 2
	return b
}

func TestInboxReasons(t *testing.T) {
	sender, other := testKey(t, 1), testKey(t, 3)
	cases := []struct {
		name    string
		admit   Admission
		payload func(p *post) []byte
		verdict Verdict
		count   func(Stats) uint64
	}{
		{"good", Everyone(), func(p *post) []byte { return p.sealed(sender, p.question(sender, 1, noon)) },
			Fresh, func(s Stats) uint64 { return s.Delivered }},
		{"listed", Only(sender.Public()), func(p *post) []byte { return p.sealed(sender, p.question(sender, 1, noon)) },
			Fresh, func(s Stats) uint64 { return s.Delivered }},
		{"empty", Everyone(), func(*post) []byte { return nil },
			Drop, func(s Stats) uint64 { return s.Malformed }},
		{"oversized", Everyone(), func(*post) []byte { return make([]byte, seal.MaxPayload+1) },
			Drop, func(s Stats) uint64 { return s.Malformed }},
		{"truncated", Everyone(), func(p *post) []byte { return p.sealed(sender, p.question(sender, 1, noon))[:1000] },
			Drop, func(s Stats) uint64 { return s.Malformed }},
		{"junk", Everyone(), func(*post) []byte { return junk(1) },
			Drop, func(s Stats) uint64 { return s.Unsealed }},
		{"damaged", Everyone(), func(p *post) []byte {
			b := p.sealed(sender, p.question(sender, 1, noon))
			b[900] ^= 4
			return b
		}, Drop, func(s Stats) uint64 { return s.Unsealed }},
		{"misaddressed", Everyone(), func(p *post) []byte {
			body, _ := Encode(p.question(sender, 1, noon))
			b, _ := seal.Seal(sender, other.Public(), body)
			return b
		}, Drop, func(s Stats) uint64 { return s.Unsealed }},
		{"in another's name", Everyone(), func(p *post) []byte { return p.sealed(other, p.question(sender, 1, noon)) },
			Drop, func(s Stats) uint64 { return s.Misnamed }},
		{"our own", Everyone(), func(p *post) []byte {
			return p.sealed(testKey(t, 2), p.question(testKey(t, 2), 1, noon))
		}, Drop, func(s Stats) uint64 { return s.Misnamed }},
		{"no message", Everyone(), func(p *post) []byte { return p.sealedBody(sender, []byte("{}")) },
			Drop, func(s Stats) uint64 { return s.Invalid }},
		{"ttl huge", Everyone(), func(p *post) []byte {
			body, _ := Encode(p.question(sender, 1, noon))
			return p.sealedBody(sender, bytes.Replace(body, []byte(`"ttl":30000`), []byte(`"ttl":86400000`), 1))
		}, Drop, func(s Stats) uint64 { return s.Invalid }},
		{"stranger", Nobody(), func(p *post) []byte { return p.sealed(sender, p.question(sender, 1, noon)) },
			Drop, func(s Stats) uint64 { return s.Stranger }},
		{"not on the list", Only(other.Public()), func(p *post) []byte { return p.sealed(sender, p.question(sender, 1, noon)) },
			Drop, func(s Stats) uint64 { return s.Stranger }},
		{"unasked", Everyone(), func(p *post) []byte {
			m := p.question(sender, 1, noon)
			m.Kind, m.Answers, m.Heard = KindReturnAddress, ID{9}, noon.UnixMilli()
			return p.sealed(sender, m)
		}, Drop, func(s Stats) uint64 { return s.Unasked }},
		{"11 min behind", Everyone(), func(p *post) []byte { return p.sealed(sender, p.question(sender, 1, noon.Add(-11*time.Minute))) },
			Late, func(s Stats) uint64 { return s.Late }},
		{"11 min ahead", Everyone(), func(p *post) []byte { return p.sealed(sender, p.question(sender, 1, noon.Add(11*time.Minute))) },
			Late, func(s Stats) uint64 { return s.Late }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := newPost(t, c.admit)
			_, verdict := p.arrives(0, c.payload(p))
			stats := p.box.Stats()
			if verdict != c.verdict {
				t.Errorf("verdict %v, want %v; %+v", verdict, c.verdict, stats)
			}
			if stats.Received != 1 || c.count(stats) != 1 {
				t.Errorf("counted as %+v", stats)
			}
		})
	}
}

func TestInboxCopies(t *testing.T) {
	p, sender := newPost(t, Everyone()), testKey(t, 1)
	m := p.question(sender, 1, noon)
	payload := p.sealed(sender, m)
	if in, v := p.arrives(0, payload); v != Fresh || in.From != sender.Public() || in.Level != Open {
		t.Fatalf("first copy: %v, %+v", v, in)
	}
	if _, v := p.arrives(1, payload); v != Drop { // the same bytes by another broker
		t.Errorf("second copy: %v", v)
	}
	if _, v := p.arrives(0, p.sealed(sender, m)); v != Duplicate {
		t.Errorf("retransmission: %v", v)
	}
	p.box.Admit(Only(sender.Public())) // another guard now, but no second chance
	if _, v := p.arrives(0, p.sealed(sender, m)); v != Duplicate {
		t.Errorf("retransmission after the sender was listed: %v", v)
	}
	if s := p.box.Stats(); s.Repeated != 1 || s.Duplicate != 2 {
		t.Errorf("%+v", s)
	}
}

// TestInboxNobodyIsLockedOut floods the inbox with everything that merely names
// a sender. The real one still gets in, and with its whole budget.
func TestInboxNobodyIsLockedOut(t *testing.T) {
	p, sender, mallory := newPost(t, Everyone()), testKey(t, 1), testKey(t, 3)
	old := p.sealed(sender, p.question(sender, 0, noon.Add(-30*time.Minute)))
	seen := p.question(sender, 1, noon)
	p.arrives(0, p.sealed(sender, seen))
	again := p.sealed(sender, seen)
	for n := range 80 { // 1.6 s, in which the one token that it spent comes back
		p.now = p.now.Add(20 * time.Millisecond)
		p.arrives(n, p.sealed(mallory, p.question(sender, 100+n, noon))) // named, not signed
		p.arrives(n, old)                                                // too old
		p.arrives(n, again)                                              // replayed
		p.box.mu.Lock()
		p.box.seen = seal.NewSeen(maxHashes) // as if the ciphertexts had been forgotten
		p.box.mu.Unlock()
	}
	for n := range openLimits.Burst {
		if _, v := p.arrives(1, p.sealed(sender, p.question(sender, 1000+n, p.now))); v != Fresh {
			t.Fatalf("message %d of the real sender: %v; %+v", n, v, p.box.Stats())
		}
	}
}

// TestInboxFlood has 10 000 junk payloads a second on one broker: messages on
// another broker all get in, some on the flooded one do, and no more is opened
// than the budget allows.
func TestInboxFlood(t *testing.T) {
	p, sender := newPost(t, Only(testKey(t, 1).Public())), testKey(t, 1)
	const seconds, flood, honest = 3, 10_000, 20
	opened, lucky := 0, 0
	for n := range seconds * flood {
		p.now = p.now.Add(time.Second / flood)
		if p.box.Screen(Delivery{Broker: address.Broker{Index: 0}, Payload: junk(n)}) {
			opened++
		}
		if n%(flood/honest) != 0 {
			continue
		}
		if _, v := p.arrives(1, p.sealed(sender, p.question(sender, 2*n, p.now))); v != Fresh {
			t.Fatalf("message on the quiet broker after %d junk payloads: %v", n, v)
		}
		if _, v := p.arrives(0, p.sealed(sender, p.question(sender, 2*n+1, p.now))); v == Fresh {
			lucky++
		}
	}
	if most := BrokerBurst + BrokerRate*seconds; opened+lucky > most || opened < most/2 {
		t.Errorf("%d payloads of the flooded broker were opened, want at most %d and at least half of that", opened, most)
	}
	t.Logf("%d of %d honest messages got in by the flooded broker", lucky, seconds*honest)
}

// TestInboxDropsAtRandom shows that a flood cannot keep others out by being
// there first: an honest message that comes right after junk has the same odds
// as the junk.
func TestInboxDropsAtRandom(t *testing.T) {
	p := newPost(t, Everyone())
	in := [2]int{}
	for n := range 50_000 {
		p.now = p.now.Add(100 * time.Microsecond)
		who := 0
		if n%10 == 9 { // every tenth is honest, and always follows nine of junk
			who = 1
		}
		if p.box.Screen(Delivery{Payload: junk(n)}) {
			in[who]++
		}
	}
	if share := float64(in[1]) / float64(in[0]+in[1]); share < 0.06 || share > 0.14 {
		t.Errorf("honest ones are 10 %% of what came and %.1f %% of what got in", 100*share)
	}
}

// TestInboxIsBounded shows that what strangers can fill is full at its bounds.
func TestInboxIsBounded(t *testing.T) {
	p := newPost(t, Everyone())
	for n := range 3 * maxHashes {
		p.now = p.now.Add(10 * time.Millisecond)
		p.box.Screen(Delivery{Broker: address.Broker{Index: n % 200}, Payload: junk(n)})
	}
	if p.box.seen.Len() != maxHashes || len(p.box.brokers) > maxBrokers {
		t.Errorf("%d hashes, %d brokers", p.box.seen.Len(), len(p.box.brokers))
	}
}

// TestHeard has a payload wait before it is opened: the time of arrival counts,
// by a wall clock that the system does not share.
func TestHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := time.Now()
		time.Sleep(300 * time.Millisecond)
		for _, c := range []struct {
			at    time.Time
			delay int64
			want  time.Duration // from noon
		}{
			{read, 0, -300 * time.Millisecond},
			{read, 50, -350 * time.Millisecond},
			{time.Time{}, 50, -50 * time.Millisecond},
			{read.Add(time.Hour), 0, 0},
		} {
			if got := heard(noon, c.at, c.delay); got != noon.Add(c.want).UnixMilli() {
				t.Errorf("heard(%v, %d) is %d ms off", c.at, c.delay, got-noon.Add(c.want).UnixMilli())
			}
		}
	})
}

func TestAdmission(t *testing.T) {
	a, b := testKey(t, 1).Public(), testKey(t, 2).Public()
	cases := []struct {
		name   string
		who    Admission
		ofA    Level
		ofB    Level
		ofZero Level
	}{
		{"zero value", Admission{}, Stranger, Stranger, Stranger},
		{"nobody", Nobody(), Stranger, Stranger, Stranger},
		{"everyone", Everyone(), Open, Open, Stranger},
		{"everyone, and a by name", Everyone(a), Listed, Open, Stranger},
		{"only a", Only(a, address.Key{}), Listed, Stranger, Stranger},
	}
	for _, c := range cases {
		if x, y, z := c.who.Level(a), c.who.Level(b), c.who.Level(address.Key{}); x != c.ofA || y != c.ofB || z != c.ofZero {
			t.Errorf("%s: %v, %v, %v; want %v, %v, %v", c.name, x, y, z, c.ofA, c.ofB, c.ofZero)
		}
	}
}

// FuzzInbox sends whatever comes, once as a payload and once as a body rightly
// sealed and signed. Each delivery must be counted once, and what comes out
// must be from its signer and within its limits.
func FuzzInbox(f *testing.F) {
	p := newPost(f, Everyone())
	sender := testKey(f, 1)
	seeds := 0
	for _, kind := range kinds {
		body, err := Encode(message(f, kind))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
		f.Add(p.sealedBody(sender, body))
		seeds += 2
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p := newPost(t, Everyone())
		payloads := [][]byte{data}
		if len(data) <= seal.MaxBody {
			payloads = append(payloads, p.sealedBody(sender, data), p.sealedBody(sender, data))
		}
		fresh := 0
		for _, payload := range payloads {
			in, verdict := p.arrives(0, payload)
			switch verdict {
			case Drop:
				continue
			case Fresh:
				fresh++
			case Answered:
				t.Fatal("an answer to a question that was never asked")
			}
			if err := in.Message.Validate(); err != nil {
				t.Fatal(err)
			}
			if in.From != sender.Public() || in.Message.From.Key != in.From || !in.Message.Answers.IsZero() {
				t.Fatalf("out came %+v", in)
			}
		}
		if fresh > 1 { // data cannot be both a payload and a body
			t.Fatal("delivered more than once")
		}
		s := p.box.Stats()
		sum := s.Malformed + s.Repeated + s.OverBudget + s.Unsealed + s.Forged + s.Invalid + s.Misnamed +
			s.Stranger + s.Unasked + s.Late + s.Busy + s.Duplicate + s.Answers + s.Delivered
		if sum != s.Received || s.Received != uint64(len(payloads)) {
			t.Fatalf("%d payloads, counted as %+v", len(payloads), s)
		}
	})
}

// BenchmarkInboxFlood is what each junk payload costs beyond the budget.
func BenchmarkInboxFlood(b *testing.B) {
	p := newPost(b, Everyone())
	payloads := make([][]byte, 20_000)
	for n := range payloads {
		payloads[n] = junk(n)
	}
	n := 0
	for b.Loop() {
		p.now = p.now.Add(100 * time.Microsecond) // 10 000 a second
		p.arrives(0, payloads[n%len(payloads)])
		n++
	}
	b.ReportMetric(float64(p.box.Stats().Unsealed)/float64(b.N), "opened/op")
}

// Who is trusted for the moment gets in beside the admission, as far as that, and
// the higher of the two counts.
func TestAlsoBesideAdmission(t *testing.T) {
	listed, guest, stranger := testKey(t, 3), testKey(t, 4), testKey(t, 5)
	also := map[address.Key]Level{guest.Public(): Open, listed.Public(): Open}
	x := NewInbox(InboxConfig{
		Key: testKey(t, 2), Admission: Only(listed.Public()), Now: func() time.Time { return noon },
		Also: func(k address.Key) Level { return also[k] },
	})
	p := &post{t: t, box: x, now: noon}
	for n, c := range []struct {
		sender  address.PrivateKey
		verdict Verdict
		level   Level
	}{{listed, Fresh, Listed}, {guest, Fresh, Open}, {stranger, Drop, Stranger}} {
		in, verdict := p.arrives(1, p.sealed(c.sender, p.question(c.sender, n+1, noon)))
		if verdict != c.verdict || in.Level != c.level {
			t.Errorf("sender %d: %v at level %v", n, verdict, in.Level)
		}
	}
	delete(also, guest.Public())
	if _, verdict := p.arrives(1, p.sealed(guest, p.question(guest, 9, noon))); verdict != Drop {
		t.Errorf("the guest of before gets %v", verdict)
	}
}
