package link

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/address"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newKey(t testing.TB) address.PrivateKey {
	t.Helper()
	k, err := address.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// pipe gives the two ends of a real TCP connection over loopback.
func pipe(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// patience is for what a fault alone keeps from coming, however slow the machine is.
const patience = time.Minute

func shortly(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

type result struct {
	link *Link
	err  error
}

// serve runs the callee's end in the background.
func serve(ctx context.Context, c net.Conn, id *Identity) <-chan result {
	done := make(chan result, 1)
	go func() {
		l, err := Server(ctx, c, id)
		done <- result{l, err}
	}()
	return done
}

// pair makes two proven ends.
func pair(t testing.TB) (caller, callee *Link) {
	t.Helper()
	ctx := shortly(t)
	a, b := pipe(t)
	ida, idb := NewIdentity(newKey(t), nil), NewIdentity(newKey(t), nil)
	done := serve(ctx, b, idb)
	caller, err := Client(ctx, a, ida, idb.Key(), Token{})
	if err != nil {
		t.Fatal(err)
	}
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	if caller.Peer() != idb.Key() || r.link.Peer() != ida.Key() {
		t.Fatal("the proven keys are not the right ones")
	}
	return caller, r.link
}

func TestLinkCarriesBytesBothWaysAndHalfCloses(t *testing.T) {
	caller, callee := pair(t)
	attempt := [16]byte{1, 2, 3}
	a, err := caller.Nominate(attempt, Session)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write([]byte("before the verdict")); err != nil {
		t.Fatal(err)
	}
	got, purpose, err := callee.Nomination(time.Now().Add(patience))
	if err != nil || got != attempt || purpose != Session {
		t.Fatalf("nomination: %x %v %v", got, purpose, err)
	}
	b, err := callee.Admit()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	heard, err := io.ReadAll(b)
	if err != nil || string(heard) != "before the verdict" {
		t.Fatalf("callee read %q, %v", heard, err)
	}
	go func() {
		_, _ = b.Write([]byte("after the caller's end"))
		_ = b.Close()
	}()
	heard, err = io.ReadAll(a)
	if err != nil || string(heard) != "after the caller's end" {
		t.Fatalf("caller read %q, %v", heard, err)
	}
	a.Close()
}

func TestRefusalSurfacesOnFirstRead(t *testing.T) {
	for _, c := range []struct {
		name string
		why  error
	}{{"refused", ErrRefused}, {"lost", ErrLost}, {"busy", ErrBusy}} {
		t.Run(c.name, func(t *testing.T) {
			caller, callee := pair(t)
			a, err := caller.Nominate([16]byte{9}, Session)
			if err != nil {
				t.Fatal(err)
			}
			// Bytes already under way must not turn the answer into a reset.
			if _, err := a.Write(bytes.Repeat([]byte("x"), 10_000)); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if _, _, err := callee.Nomination(time.Now().Add(patience)); err == nil {
					callee.Refuse(c.why)
				}
			}()
			for range 2 { // the second read must say the same
				if _, err := a.Read(make([]byte, 1)); !errors.Is(err, c.why) {
					t.Fatalf("read gave %v, want %v", err, c.why)
				}
			}
			a.Close()
			<-done
		})
	}
}

func TestNominationIsAwaitedOnlyUntilItsDeadline(t *testing.T) {
	_, callee := pair(t)
	_, _, err := callee.Nomination(time.Now().Add(20 * time.Millisecond))
	var ne net.Error
	if !errors.As(err, &ne) || !ne.Timeout() {
		t.Fatalf("got %v, want a timeout", err)
	}
}

func TestVerdictDeadlineDoesNotSpoilTheVerdict(t *testing.T) {
	caller, callee := pair(t)
	a, err := caller.Nominate([16]byte{1}, Session)
	if err != nil {
		t.Fatal(err)
	}
	_ = a.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if err := a.Verdict(); err == nil {
		t.Fatal("a verdict came from nowhere")
	}
	_ = a.SetReadDeadline(time.Time{})
	if _, _, err := callee.Nomination(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := callee.Admit(); err != nil {
		t.Fatal(err)
	}
	if err := a.Verdict(); err != nil {
		t.Fatal(err)
	}
}

// A callee that is not the one called must be found out by the caller.
func TestOtherNodeIsNamed(t *testing.T) {
	ctx := shortly(t)
	a, b := pipe(t)
	other := NewIdentity(newKey(t), nil)
	done := serve(ctx, b, other)
	_, err := Client(ctx, a, NewIdentity(newKey(t), nil), newKey(t).Public(), Token{})
	if !errors.Is(err, ErrOtherNode) || !strings.Contains(err.Error(), other.Key().String()) {
		t.Fatalf("got %v", err)
	}
	if r := <-done; r.err == nil {
		t.Fatal("the callee takes the link for proven")
	}
}

// A certificate that was copied off the wire, without its private key, proves
// nothing: the handshake must not return on either side.
func TestStolenCertificateProvesNothing(t *testing.T) {
	victim := NewIdentity(newKey(t), nil)
	cert, err := victim.certificate()
	if err != nil {
		t.Fatal(err)
	}
	_, wrong, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	thief := func() *Identity {
		return &Identity{key: newKey(t), now: time.Now, renewAt: time.Now().Add(time.Hour),
			cert: &tls.Certificate{Certificate: cert.Certificate, PrivateKey: wrong}}
	}
	t.Run("as callee", func(t *testing.T) {
		ctx := shortly(t)
		a, b := pipe(t)
		done := serve(ctx, b, thief())
		if l, err := Client(ctx, a, NewIdentity(newKey(t), nil), victim.Key(), Token{}); err == nil {
			t.Fatalf("the thief passed for %s", l.Peer())
		}
		<-done
	})
	t.Run("as caller", func(t *testing.T) {
		ctx := shortly(t)
		a, b := pipe(t)
		callee := NewIdentity(newKey(t), nil)
		done := serve(ctx, b, callee)
		l, err := Client(ctx, a, thief(), callee.Key(), Token{})
		if r := <-done; r.err == nil {
			t.Fatalf("the callee took the thief for %s", r.link.Peer())
		}
		if err == nil {
			l.Close()
		}
	})
}

func TestCertificateIsChecked(t *testing.T) {
	key, now := newKey(t), time.Now()
	good, err := mint(key, now.Add(lifetime))
	if err != nil {
		t.Fatal(err)
	}
	cert := func(c *tls.Certificate) *Identity {
		return &Identity{key: key, now: time.Now, cert: c, renewAt: now.Add(time.Hour)}
	}
	must := func(c *tls.Certificate, err error) *tls.Certificate {
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, c := range []struct {
		name, want string
		id         *Identity
	}{
		{"expired", "expired", cert(must(mint(key, now.Add(-clockError-time.Minute))))},
		{"lives too long", "lives too long", cert(must(mint(key, now.Add(lifetime+clockError+time.Minute))))},
		{"two certificates", "not 1", cert(&tls.Certificate{Certificate: [][]byte{good.Certificate[0], good.Certificate[0]}, PrivateKey: good.PrivateKey})},
		{"names no node", "names no node", cert(plainCertificate(t))},
		{"signed by another", "not signed by the node", cert(forged(t, key.Public()))},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := shortly(t)
			a, b := pipe(t)
			done := serve(ctx, b, c.id)
			_, err := Client(ctx, a, NewIdentity(newKey(t), nil), key.Public(), Token{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			<-done
		})
	}
	t.Run("clocks eighteen minutes apart", func(t *testing.T) {
		ctx := shortly(t)
		a, b := pipe(t)
		behind := NewIdentity(newKey(t), func() time.Time { return time.Now().Add(-9 * time.Minute) })
		ahead := NewIdentity(newKey(t), func() time.Time { return time.Now().Add(9 * time.Minute) })
		done := serve(ctx, b, behind)
		if _, err := Client(ctx, a, ahead, behind.Key(), Token{}); err != nil {
			t.Fatal(err)
		}
		if r := <-done; r.err != nil {
			t.Fatal(r.err)
		}
	})
}

func TestIdentityRenewsItsCertificate(t *testing.T) {
	now := time.Now()
	id := NewIdentity(newKey(t), func() time.Time { return now })
	first, _ := id.certificate()
	now = now.Add(lifetime/2 - time.Second)
	if again, _ := id.certificate(); again != first {
		t.Fatal("renewed too early")
	}
	now = now.Add(2 * time.Second)
	if again, _ := id.certificate(); again == first {
		t.Fatal("not renewed")
	}
}

func BenchmarkHandshake(b *testing.B) {
	ctx := context.Background()
	ida, idb := NewIdentity(newKey(b), nil), NewIdentity(newKey(b), nil)
	for b.Loop() {
		x, y := pipe(b)
		done := serve(ctx, y, idb)
		if _, err := Client(ctx, x, ida, idb.Key(), Token{}); err != nil {
			b.Fatal(err)
		}
		<-done
		x.Close()
		y.Close()
	}
}
