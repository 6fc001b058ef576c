package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// Protocol is the ALPN name, with our version (RFC 7301).
const Protocol = "sallyport/1"

const nominationVersion = 2

// Purpose says what the caller wants a link for.
type Purpose uint8

const (
	Session Purpose = iota // to begin a session on it
	Resume                 // to go on with one
)

// Link is a TLS connection whose peer's key is proven, and which nobody has
// nominated yet.
type Link struct {
	tls  *tls.Conn
	peer address.Key
}

// Peer is the proven key of the other end.
func (l *Link) Peer() address.Key { return l.peer }

// RemoteAddr is the other end's address as this machine sees it.
func (l *Link) RemoteAddr() net.Addr { return l.tls.RemoteAddr() }

// LocalAddr is this end's address.
func (l *Link) LocalAddr() net.Addr { return l.tls.LocalAddr() }

// Close ends a link that was not chosen.
func (l *Link) Close() error { return l.tls.NetConn().Close() }

// Client runs the caller's end over c and returns when the callee's key is
// proven to be peer. A token that the callee sends first is checked against
// want. On error c is closed.
func Client(ctx context.Context, c net.Conn, id *Identity, peer address.Key, want Token) (*Link, error) {
	conf, err := id.config(func(k address.Key) error {
		if k != peer {
			return fmt.Errorf("%w: it is %s", ErrOtherNode, k)
		}
		return nil
	})
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return handshake(ctx, tls.Client(&whole{Conn: &expecting{Conn: c, want: want}}, conf), c, id)
}

// Server runs the callee's end over c and returns when the caller's key is
// proven, whoever it is: nothing is decided or counted before. On error c is
// closed.
func Server(ctx context.Context, c net.Conn, id *Identity) (*Link, error) {
	conf, err := id.config(func(address.Key) error { return nil })
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return handshake(ctx, tls.Server(&whole{Conn: c}, conf), c, id)
}

// config is what both ends share. check runs before the peer has proved its
// certificate's key, so it must have no side effects.
func (id *Identity) config(check func(address.Key) error) (*tls.Config, error) {
	cert, err := id.certificate()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{*cert},
		NextProtos:             []string{Protocol},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // no authorities here: VerifyConnection does it all
		SessionTicketsDisabled: true,
		// Records of full size from the first byte on: a session writes what is
		// at hand in one piece, and small things go in small records anyway.
		DynamicRecordSizingDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if s.NegotiatedProtocol != Protocol {
				return fmt.Errorf("the peer does not speak %s", Protocol)
			}
			who, err := certified(s.PeerCertificates, id.now())
			if err != nil {
				return err
			}
			return check(who)
		},
	}, nil
}

func handshake(ctx context.Context, t *tls.Conn, c net.Conn, id *Identity) (*Link, error) {
	if err := t.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	who, err := certified(t.ConnectionState().PeerCertificates, id.now())
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return &Link{tls: t, peer: who}, nil
}

// Nominate chooses this link for the attempt: the caller calls it once, on one
// link of an attempt. Bytes may be written at once; the callee's verdict comes
// with the first Read.
func (l *Link) Nominate(attempt [16]byte, purpose Purpose) (*Conn, error) {
	msg := append([]byte{nominationVersion, byte(purpose)}, attempt[:]...)
	if err := l.tls.SetWriteDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := l.tls.Write(msg); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("nominating the link: %w", err)
	}
	if err := l.tls.SetWriteDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return &Conn{tls: l.tls, peer: l.peer, await: true}, nil
}

// Nomination waits until the caller nominates this link, until the deadline.
// A link that is closed without a nomination gives ErrCut.
func (l *Link) Nomination(deadline time.Time) (attempt [16]byte, purpose Purpose, err error) {
	if err := l.tls.SetReadDeadline(deadline); err != nil {
		return attempt, 0, err
	}
	var msg [2 + len(attempt)]byte
	if _, err := io.ReadFull(l.tls, msg[:]); err != nil {
		return attempt, 0, err
	}
	if msg[0] != nominationVersion || Purpose(msg[1]) > Resume {
		return attempt, 0, fmt.Errorf("nomination of version %d and purpose %d is not understood", msg[0], msg[1])
	}
	return [16]byte(msg[2:]), Purpose(msg[1]), l.tls.SetReadDeadline(time.Time{})
}

// Admit tells the caller yes and makes the link a connection.
func (l *Link) Admit() (*Conn, error) {
	if err := l.tell(admitted); err != nil {
		return nil, err
	}
	return &Conn{tls: l.tls, peer: l.peer}, nil
}

// Refuse tells the caller why not, and closes the link.
func (l *Link) Refuse(why error) {
	v := refused
	switch {
	case errors.Is(why, ErrLost):
		v = lost
	case errors.Is(why, ErrBusy):
		v = busy
	}
	if l.tell(v) == nil {
		// The alert makes the caller's read end after the verdict, where a
		// plain close with unread input would send an RST that overtakes it.
		_ = l.tls.CloseWrite()
		_ = l.tls.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.CopyN(io.Discard, l.tls, 64<<10)
	}
	_ = l.Close()
}

func (l *Link) tell(v verdict) error {
	if err := l.tls.SetWriteDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := l.tls.Write([]byte{byte(v)}); err != nil {
		_ = l.Close()
		return err
	}
	return l.tls.SetWriteDeadline(time.Time{})
}
