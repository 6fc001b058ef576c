// Package proof is how a node shows a broker of ours that it owns the key whose
// topic it wants to hear. MQTT 3.1.1 has no challenge, so that both messages
// are publishes on a topic that nobody can subscribe to:
//
//	broker → node   sallyport/proof, right after the CONNACK
//	    0   1  1, the version
//	    1  32  nonce, random, of this connection
//
//	node → broker   sallyport/proof, before its SUBSCRIBE
//	    0   1  1
//	    1  33  S, the node's key
//	   34   1  length of the signature, 8 to 72
//	   35   s  ECDSA signature by S in DER
//	        h  the broker's host as the node has dialled it, 1 to 255 bytes
//
//	signed hash = SHA-256("sallyport broker proof 1" 0x00 nonce S host)
//
// The nonce keeps a proof from being used twice, the host keeps a broker from
// passing another one's challenge on to a node and its proof back. A broker
// that sends no challenge gets no proof: others notice nothing.
package proof

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/netip"
	"strings"

	"github.com/sallyport-net/sallyport/address"
)

// Topic is where challenges and proofs are published.
const Topic = "sallyport/proof"

const (
	version      = 1
	label        = "sallyport broker proof 1\x00"
	minSignature = 8
	maxSignature = 72
	maxHost      = 255
)

// Challenge is what a broker asks to be signed.
type Challenge [32]byte

// NewChallenge draws one.
func NewChallenge() (c Challenge) {
	_, _ = rand.Read(c[:]) // never fails
	return c
}

// opening is what each challenge's packet begins with: PUBLISH at QoS 0.
var opening = append([]byte{0x30, 2 + byte(len(Topic)) + 1 + byte(len(Challenge{})), 0, byte(len(Topic))}, Topic+string(rune(version))...)

// PacketSize is the length of a challenge's packet in bytes.
var PacketSize = len(opening) + len(Challenge{})

// Packet is the whole MQTT packet that brings c.
func (c Challenge) Packet() []byte { return append(bytes.Clone(opening), c[:]...) }

// ParsePacket reads what Packet gives.
func ParsePacket(p []byte) (c Challenge, ok bool) {
	rest, ok := bytes.CutPrefix(p, opening)
	if !ok || len(rest) != len(c) {
		return c, false
	}
	return Challenge(rest), true
}

// Make answers c at the broker that was dialled as host, with the key that
// sign, which signs as address.PrivateKey does, is of.
func Make(c Challenge, key address.Key, sign func(hash [32]byte) []byte, host string) []byte {
	host = Host(host)
	signature := sign(hash(c, key, host))
	p := append([]byte{version}, key.Bytes()...)
	p = append(p, byte(len(signature)))
	p = append(p, signature...)
	return append(p, host...)
}

var (
	errFormat    = errors.New("no proof of a key")
	errSignature = errors.New("a proof that its key did not sign")
)

// Check gives the key that payload proves to whoever drew c, and the host that
// it is meant for, as Host has it: that it is its own is for the caller to see.
func Check(c Challenge, payload []byte) (key address.Key, host string, err error) {
	const fixed = 1 + address.KeySize + 1
	if len(payload) < fixed || payload[0] != version {
		return address.Key{}, "", errFormat
	}
	n := int(payload[fixed-1])
	if n < minSignature || n > maxSignature || len(payload) <= fixed+n || len(payload) > fixed+n+maxHost {
		return address.Key{}, "", errFormat
	}
	if key, err = address.KeyFromBytes(payload[1 : fixed-1]); err != nil {
		return address.Key{}, "", errFormat
	}
	host = string(payload[fixed+n:])
	if host != Host(host) {
		return address.Key{}, "", errFormat
	}
	if !key.Verify(hash(c, key, host), payload[fixed:fixed+n]) {
		return address.Key{}, "", errSignature
	}
	return key, host, nil
}

// Host makes equal what is the same host: names in lower case without a final
// dot, IP addresses as they are printed, without a zone.
func Host(s string) string {
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.Unmap().WithZone("").String()
	}
	return strings.TrimSuffix(strings.ToLower(s), ".")
}

func hash(c Challenge, key address.Key, host string) [32]byte {
	b := append([]byte(label), c[:]...)
	b = append(b, key.Bytes()...)
	return sha256.Sum256(append(b, host...))
}
