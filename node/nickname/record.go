package nickname

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

const (
	// MaxRecord bounds an encoded record in bytes.
	MaxRecord = 1 << 10
	// Lasts is how long a record is good for at most, and for how long a
	// registry keeps a name that is not refreshed.
	Lasts = 7 * 24 * time.Hour
	// Tolerance is how wrong clocks may be.
	Tolerance = 10 * time.Minute

	recordVersion = 2 // 1 is what P2PD's values begin with
	maxSequence   = 1 << 62
	maxSignature  = 72
)

// Record binds a name to a key and an address.
type Record struct {
	Name     Name
	Key      address.Key
	Sequence uint64 // 1 to 2⁶²; of two records the greater one counts
	Issued   time.Time
	Expires  time.Time
	Address  address.Address // of Key; the zero Address gives the name up
	raw      []byte
}

// Why a record does not count.
var (
	ErrMalformed = errors.New("malformed record")
	ErrForged    = errors.New("the signature is not by the key that the record names")
	ErrOwner     = errors.New("the name is the hash of another key")
	ErrExpired   = errors.New("the record has expired")
	ErrFuture    = errors.New("the record is from the future")
	ErrStale     = errors.New("the record is older than one that was seen before")
)

// Sign makes a record, issued at now and good for Lasts. An address that is
// too long loses its interfaces: its node is asked for them over the brokers.
// The zero Address gives the name up.
func Sign(key address.PrivateKey, name Name, sequence uint64, now time.Time, a address.Address) (Record, error) {
	now = now.Truncate(time.Second).UTC()
	r := Record{Name: name, Key: key.Public(), Sequence: sequence, Issued: now, Expires: now.Add(Lasts), Address: a}
	b, err := r.body()
	if errors.Is(err, errTooLong) {
		r.Address.V4, r.Address.V6 = nil, nil
		b, err = r.body()
	}
	if err != nil {
		return Record{}, err
	}
	sig := key.Sign(recordHash(b))
	if len(sig) == 0 {
		return Record{}, errors.New("a record needs a private key")
	}
	return DecodeRecord(append(append(b, byte(len(sig))), sig...))
}

var errTooLong = fmt.Errorf("a record has at most %d bytes", MaxRecord)

// body encodes all but the signature.
func (r Record) body() ([]byte, error) {
	text := ""
	if !r.Released() {
		b, err := r.Address.MarshalText()
		if err != nil {
			return nil, fmt.Errorf("record of %s: %w", r.Name, err)
		}
		text = string(b)
	}
	name := r.Name.String()
	b := []byte{recordVersion, byte(len(name))}
	b = append(append(b, name...), r.Key.Bytes()...)
	b = binary.BigEndian.AppendUint64(b, r.Sequence)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Issued.Unix()))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Expires.Unix()))
	if len(b)+2+len(text)+1+maxSignature > MaxRecord {
		return nil, errTooLong
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(text)))
	return append(b, text...), nil
}

// DecodeRecord reads a record as it is sent, and checks its signature and that
// the name admits its key. Whether its time has come or gone is Fresh's.
func DecodeRecord(b []byte) (Record, error) {
	r, signed, sig, err := parseRecord(b)
	if err != nil {
		return Record{}, err
	}
	if !r.Key.Verify(recordHash(signed), sig) {
		return Record{}, ErrForged
	}
	if !r.Name.Admits(r.Key) {
		return Record{}, ErrOwner
	}
	return r, nil
}

// parseRecord reads a record without checking whose it is.
func parseRecord(b []byte) (r Record, signed, sig []byte, err error) {
	fail := func(format string, args ...any) (Record, []byte, []byte, error) {
		return Record{}, nil, nil, fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...))
	}
	if len(b) > MaxRecord {
		return fail("%d bytes, at most %d", len(b), MaxRecord)
	}
	d := reader{b}
	if v := d.take(1); v == nil || v[0] != recordVersion {
		return fail("it is not of version %d", recordVersion)
	}
	name := string(d.counted(1))
	if r.Name, err = ParseName(name); err != nil || r.Name.String() != name {
		return fail("its name is not canonical")
	}
	if r.Key, err = address.KeyFromBytes(d.take(address.KeySize)); err != nil {
		return fail("%w", err)
	}
	r.Sequence = d.number()
	issued, expires := d.number(), d.number()
	text := string(d.counted(2))
	signed = b[:len(b)-len(d.b)]
	sig = d.counted(1)
	switch {
	case d.short() || len(d.b) != 0:
		return fail("its length is wrong")
	case r.Sequence == 0 || r.Sequence > maxSequence:
		return fail("sequence %d", r.Sequence)
	case issued > 1<<40 || expires <= issued || expires-issued > uint64(Lasts/time.Second):
		return fail("it does not last for up to %v", Lasts)
	}
	r.Issued, r.Expires = time.Unix(int64(issued), 0).UTC(), time.Unix(int64(expires), 0).UTC()
	if text != "" {
		if r.Address, err = address.Parse(text); err != nil {
			return fail("%w", err)
		}
		if r.Address.Key != r.Key || r.Address.String() != text {
			return fail("its address is another key's, or not canonical")
		}
	}
	r.raw = append([]byte(nil), b...)
	return r, signed, sig, nil
}

// Bytes gives the record as it is sent; nil for one that was not signed.
func (r Record) Bytes() []byte { return append([]byte(nil), r.raw...) }

// Released reports whether the record gives the name up.
func (r Record) Released() bool { return r.Address.Equal(address.Address{}) }

// Fresh gives nil where a record counts at now, else an error that wraps
// ErrExpired or ErrFuture and tells of the clocks.
func (r Record) Fresh(now time.Time) error {
	switch {
	case r.Issued.After(now.Add(Tolerance)):
		return fmt.Errorf("%w: it was issued at %s, %s from now; the clock here or its owner's is wrong",
			ErrFuture, r.Issued.Format(time.DateTime), ago(r.Issued.Sub(now)))
	case r.Expires.Before(now.Add(-Tolerance)):
		return fmt.Errorf("%w: %s ago; its owner's node has not run since, or the clock here is wrong",
			ErrExpired, ago(now.Sub(r.Expires)))
	}
	return nil
}

// Newer reports whether r supersedes old, of the same name and key.
func (r Record) Newer(old Record) bool { return r.Sequence > old.Sequence }

func recordHash(b []byte) [32]byte {
	return sha256.Sum256(append([]byte("sallyport name 1\x00"), b...))
}

// ago gives a duration as people say it.
func ago(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
	}
	return d.Round(time.Second).String()
}

// CheckRetained is a broker's rule for what it keeps (broker.Config.Retain): a
// self-certifying name's record on that name's topic, in place of an older one
// only.
func CheckRetained(topic string, old, new []byte) error {
	r, _, _, err := parseRecord(new)
	if err != nil {
		return err
	}
	if !r.Name.SelfCertifying() || r.Name.Topic() != topic {
		return errors.New("the record is of another name")
	}
	if old != nil {
		if was, _, _, err := parseRecord(old); err == nil && !r.Newer(was) {
			return ErrStale
		}
	}
	_, err = DecodeRecord(new)
	return err
}

// reader takes a record apart. What is not there is nil, and is remembered.
type reader struct{ b []byte }

func (d *reader) take(n int) []byte {
	if d.b == nil || len(d.b) < n {
		d.b = nil
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *reader) short() bool { return d.b == nil }

// number reads eight bytes; 0 where they are not there.
func (d *reader) number() uint64 {
	b := d.take(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// counted reads a length of size bytes, then as many.
func (d *reader) counted(size int) []byte {
	n := 0
	for _, c := range d.take(size) {
		n = n<<8 | int(c)
	}
	return d.take(n)
}
