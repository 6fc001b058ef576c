package nickname

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// The protocol of registries: one HTTP POST of a Request to RegistryPath, both
// ways in JSON. The reply is signed by the registry's key, in the header
// SignatureHeader as base64 of DER over
//
//	SHA-256("sallyport registry reply 1" 0x00, the body's exact bytes)
//
// and repeats the request's nonce, so that it can't be an old one. A record is
// signed by its owner. TLS adds that nobody sees who looks up whom.
const (
	RegistryPath    = "/sallyport/registry/1"
	SignatureHeader = "Sallyport-Signature"
	// MaxMessage bounds a request and a reply in bytes.
	MaxMessage = 4 << 10
)

// Request asks a registry for a name (Record empty), or to store a record.
type Request struct {
	Nonce  string `json:"nonce"` // 32 hex digits
	Name   string `json:"name"`
	Record []byte `json:"record,omitempty"`
}

// Reply is a registry's answer.
type Reply struct {
	Nonce  string `json:"nonce"`
	Name   string `json:"name"`
	Status Status `json:"status"`
	// Record is the one that is kept now. With a refusal it is the one that
	// stands in the way, where there is one.
	Record []byte `json:"record,omitempty"`
	Reason string `json:"reason,omitempty"` // of a refusal, for people
	Time   int64  `json:"time"`             // the registry's clock, seconds since 1970
}

// Status is the kind of a Reply.
type Status string

const (
	Found    Status = "found"
	Absent   Status = "absent"
	Stored   Status = "stored"   // or given up, as asked
	Taken    Status = "taken"    // another key has it
	Alike    Status = "alike"    // another key has one that looks like it
	Outdated Status = "outdated" // the key has stored a newer one
	Full     Status = "full"     // the address, or the registry, has no room for more
	Clock    Status = "clock"    // the record's times do not fit the registry's clock
)

// ErrClock is for a registry whose clock differs too much from ours.
var ErrClock = errors.New("the clocks differ")

// RefusedError is a registry's no to a record.
type RefusedError struct {
	Status Status
	Reason string
}

func (e *RefusedError) Error() string { return e.Reason }

// NewRequest makes a request with a fresh nonce.
func NewRequest(name Name, record []byte) Request {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return Request{hex.EncodeToString(b[:]), name.String(), record}
}

// DecodeRequest reads and checks what came in. The record is the zero Record
// where the name is only asked for.
func DecodeRequest(b []byte) (q Request, name Name, r Record, err error) {
	if len(b) > MaxMessage {
		return q, name, r, fmt.Errorf("more than %d bytes", MaxMessage)
	}
	if err := json.Unmarshal(b, &q); err != nil {
		return q, name, r, errors.New("not a request in JSON")
	}
	if n, err := hex.DecodeString(q.Nonce); err != nil || len(n) != 16 {
		return q, name, r, errors.New("a nonce has 32 hex digits")
	}
	if name, err = ParseName(q.Name); err != nil {
		return q, name, r, err
	}
	if name.SelfCertifying() {
		return q, name, r, fmt.Errorf("name %q is self-certifying: it needs no registry", name)
	}
	if len(q.Record) == 0 {
		return q, name, r, nil
	}
	// Before it is checked: the hash of a self-certifying name fills 16 MiB.
	if r, _, _, err = parseRecord(q.Record); err == nil && r.Name != name {
		err = errors.New("the record is of another name")
	}
	if err == nil {
		r, err = DecodeRecord(q.Record)
	}
	if err != nil {
		return q, name, Record{}, err
	}
	return q, name, r, nil
}

// Seal encodes and signs a reply.
func (p Reply) Seal(key address.PrivateKey) (body []byte, signature string, err error) {
	if body, err = json.Marshal(p); err != nil {
		return nil, "", err
	}
	return body, base64.StdEncoding.EncodeToString(key.Sign(replyHash(body))), nil
}

// OpenReply checks a reply to q by the registry of that key, at now.
func OpenReply(key address.Key, q Request, now time.Time, body []byte, signature string) (Reply, Record, error) {
	var p Reply
	if len(body) > MaxMessage || len(signature) > 200 {
		return p, Record{}, fmt.Errorf("the reply has more than %d bytes", MaxMessage)
	}
	sig, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || !key.Verify(replyHash(body), sig) {
		return p, Record{}, errors.New("the reply is not signed by that registry's key")
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return p, Record{}, errors.New("the reply is not JSON")
	}
	if p.Nonce != q.Nonce || p.Name != q.Name {
		return p, Record{}, errors.New("the reply belongs to another request")
	}
	if skew := time.Unix(p.Time, 0).Sub(now); skew > Tolerance || skew < -Tolerance {
		return p, Record{}, fmt.Errorf("%w: the registry's is %s %s; set the one that is wrong", ErrClock, ago(skew.Abs()), aheadOrBehind(skew))
	}
	if p.Status == Absent || len(p.Record) == 0 {
		if p.Status == Found {
			return p, Record{}, errors.New("the reply has no record")
		}
		return p, Record{}, nil
	}
	r, err := DecodeRecord(p.Record)
	if err != nil {
		return p, Record{}, fmt.Errorf("the registry gave a bad record: %w", err)
	}
	if r.Name.String() != q.Name {
		return p, Record{}, errors.New("the registry gave another name's record")
	}
	return p, r, nil
}

func aheadOrBehind(d time.Duration) string {
	if d > 0 {
		return "ahead of this machine's"
	}
	return "behind this machine's"
}

func replyHash(body []byte) [32]byte {
	return sha256.Sum256(append([]byte("sallyport registry reply 1\x00"), body...))
}

// Registry says where a registry is and by which key its replies are signed.
type Registry struct {
	URL string // http or https, scheme, host and port only
	Key address.Key
}

// ParseRegistry reads http://HOST:PORT#KEY, KEY being the registry's node id.
func ParseRegistry(s string) (Registry, error) {
	const want = "expected http://HOST:PORT#KEY, as \"sallyport serve --registry FILE\" prints it"
	if len(s) > 300 {
		return Registry{}, fmt.Errorf("a registry of more than 300 characters: %s", want)
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Hostname() == "" || u.User != nil ||
		u.RawQuery != "" || u.Opaque != "" || strings.Trim(u.Path, "/") != "" {
		return Registry{}, fmt.Errorf("registry %q: %s", s, want)
	}
	key, err := address.ParseKey(u.Fragment)
	if err != nil {
		return Registry{}, fmt.Errorf("registry %q: %w: %s", s, err, want)
	}
	return Registry{u.Scheme + "://" + strings.ToLower(u.Host), key}, nil
}

// String gives what ParseRegistry reads.
func (r Registry) String() string { return r.URL + "#" + r.Key.String() }
