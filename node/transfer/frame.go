package transfer

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"golang.org/x/time/rate"
)

// How long the other side may take: to say who it is, and for any next step. A
// session waits for ten minutes for another path (docs/session.md).
const (
	helloTime = 4 * time.Second
	offerTime = 2 * time.Minute // it may have much to list
	// offerRate is how many bytes a second an offer must have from then on:
	// whoever dribbles keeps others waiting.
	offerRate = 16 << 10
	stepTime  = 15 * time.Minute
	// lastTime bounds the goodbye of a transfer that is ended here.
	lastTime = time.Second
)

const helloPrefix, hello = "sallyport transfer ", helloPrefix + "2"

// MaxHashes is how many hashes one HAVE has at most.
const MaxHashes = 4096

type kind byte

const (
	kindHello kind = iota + 1
	kindEntry
	kindOffered
	kindHave
	kindGo
	kindFile
	kindData
	kindEnd
	kindFinish
	kindDone
	kindStop
	kindArrived
)

// longest is what a payload of each type has at most.
var longest = map[kind]int{
	kindHello: len(hello), kindEntry: maxEntrySize, kindHave: 4 + MaxHashes*sumSize,
	kindFile: 4 + 8, kindData: Block, kindEnd: sumSize, kindStop: 1 + maxReason,
	kindArrived: 8,
	kindOffered: 0, kindGo: 0, kindFinish: 0, kindDone: 0,
}

// ProtocolError is a peer that breaks the rules.
type ProtocolError struct{ What string }

func (e *ProtocolError) Error() string { return "the peer broke the rules of a transfer: " + e.What }

func broken(format string, args ...any) error {
	return &ProtocolError{fmt.Sprintf(format, args...)}
}

// head reads the head of a frame and checks it.
func head(b [5]byte) (kind, int, error) {
	k, n := kind(b[0]), binary.BigEndian.Uint32(b[1:])
	most, known := longest[k]
	if !known {
		return 0, 0, broken("a frame of type %d", b[0])
	}
	if uint64(n) > uint64(most) {
		return 0, 0, broken("a frame of type %d and %d bytes", k, n)
	}
	return k, int(n), nil
}

// Reason is why a side ends a transfer.
type Reason byte

// Reasons of STOP.
const (
	Declined   Reason = iota + 1 // a person said no
	Paused                       // it may go on later
	Impossible                   // it can't go on as it is
	Busy                         // with another transfer
	Unattended                   // nobody is there to say yes
)

const maxReason = 200

// StopError is a transfer that was ended in an orderly way: by the peer where
// Remote is set, and by us otherwise.
type StopError struct {
	Reason Reason
	Text   string // for people; may be empty
	Remote bool
}

func (e *StopError) Error() string {
	text := e.Text
	if text == "" {
		text = [...]string{"", "it said no", "it stopped", "it can't go on", "it is busy with another transfer", "nobody is there to say yes"}[e.Reason]
	}
	if e.Remote {
		return "the other side ended the transfer: " + text
	}
	return text
}

func (e *StopError) encode() []byte {
	text := e.Text
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "")
	}
	return append([]byte{byte(e.Reason)}, text...)
}

// decodeStop takes out what would disturb a terminal.
func decodeStop(b []byte) error {
	if len(b) < 1 || Reason(b[0]) < Declined || Reason(b[0]) > Unattended {
		return broken("a STOP without a reason")
	}
	text := strings.Map(func(r rune) rune {
		if forbidden(r) && r != '\\' || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(b[1:]), ""))
	return &StopError{Reason(b[0]), text, true}
}

// wire speaks in frames over a connection. One goroutine reads and one writes.
type wire struct {
	conn   net.Conn
	asked  context.Context // of the caller
	ctx    context.Context // ends with that, and with cancel
	cancel context.CancelFunc
	stop   func() bool
	r      *bufio.Reader
	w      *bufio.Writer
	wait   time.Duration // for the next bytes
	until  time.Time     // for all that is to come now; zero for none
	pace   *rate.Limiter // of writes; nil for none
	gone   bool          // we have ended it, and said so if we could

	hurried atomic.Bool // what is written now is the last
}

// newWire begins; the end of its context interrupts reads at once, and writes
// soon.
func newWire(ctx context.Context, conn net.Conn) *wire {
	w := &wire{conn: conn, asked: ctx, wait: stepTime}
	w.ctx, w.cancel = context.WithCancel(ctx)
	w.r = bufio.NewReaderSize(timedReader{w}, 64<<10)
	w.w = bufio.NewWriterSize(timedWriter{w}, 64<<10)
	w.stop = context.AfterFunc(w.ctx, func() {
		_ = conn.SetReadDeadline(time.Now())
		_ = conn.SetWriteDeadline(time.Now().Add(lastTime))
	})
	return w
}

// hurry has writes end soon, from one that waits on.
func (w *wire) hurry() {
	w.hurried.Store(true)
	_ = w.conn.SetWriteDeadline(time.Now().Add(lastTime))
}

// close lets go of the connection, which is not closed.
func (w *wire) close() {
	w.stop()
	w.cancel()
}

type timedReader struct{ *wire }

// Read sets the deadline first and looks at ctx then, so that the end of ctx is
// never overwritten unseen.
func (t timedReader) Read(b []byte) (int, error) {
	by := time.Now().Add(t.wait)
	if !t.until.IsZero() && t.until.Before(by) {
		by = t.until
	}
	_ = t.conn.SetReadDeadline(by)
	if err := t.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := t.conn.Read(b)
	if err != nil && t.ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		err = t.ctx.Err()
	}
	return n, err
}

type timedWriter struct{ *wire }

func (t timedWriter) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		piece := b
		if t.pace != nil {
			piece = b[:min(len(b), paceBurst)]
			if err = t.pace.WaitN(t.ctx, len(piece)); err != nil {
				return n, err
			}
		}
		_ = t.conn.SetWriteDeadline(time.Now().Add(stepTime))
		if t.ctx.Err() != nil || t.hurried.Load() {
			_ = t.conn.SetWriteDeadline(time.Now().Add(lastTime))
		}
		var k int
		k, err = t.conn.Write(piece)
		n, b = n+k, b[k:]
	}
	return n, err
}

// paceBurst is how much is written at once where the pace is limited.
const paceBurst = 16 << 10

// next reads the head of a frame. A STOP is an error.
func (w *wire) next() (kind, int, error) {
	var b [5]byte
	if _, err := io.ReadFull(w.r, b[:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, 0, err
	}
	k, n, err := head(b)
	if err == nil && k == kindStop {
		var text []byte
		if text, err = w.payload(n); err == nil {
			err = decodeStop(text)
		}
	}
	return k, n, err
}

// payload reads the rest of a short frame.
func (w *wire) payload(n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(w.r, b)
	return b, err
}

// put writes a frame, which stays in the buffer until flush or until that is
// full.
func (w *wire) put(k kind, payload ...[]byte) error {
	n := 0
	for _, p := range payload {
		n += len(p)
	}
	b := binary.BigEndian.AppendUint32([]byte{byte(k)}, uint32(n))
	_, err := w.w.Write(b)
	for _, p := range payload {
		if err == nil {
			_, err = w.w.Write(p)
		}
	}
	return err
}

// bye tells the peer why we end, where it is our doing, and gives err back. It
// must not be called where a frame may be half written; then the buffered
// writer has an error, and nothing is sent.
func (w *wire) bye(err error) error {
	var stop *StopError
	var rules *ProtocolError
	var path *fs.PathError
	var link *os.LinkError
	if err == nil || w.gone {
		return err
	}
	switch {
	case errors.As(err, &stop):
		if stop.Remote {
			return err
		}
	case errors.As(err, &rules):
		stop = &StopError{Reason: Impossible, Text: "the rules of a transfer were broken"}
	case errors.As(err, &path), errors.As(err, &link):
		stop = &StopError{Reason: Impossible, Text: "it had trouble with its files"}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		stop = &StopError{Reason: Paused}
	default:
		return err
	}
	w.gone = true
	if w.put(kindStop, stop.encode()) == nil {
		_ = w.w.Flush()
	}
	return err
}
