package session

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"github.com/sallyport-net/sallyport/node/link"
)

// secrets derives a session's name and key from its first link.
func secrets(l *link.Conn, attempt [16]byte) (id ID, key [sha256.Size]byte, err error) {
	a, err := l.Export("EXPORTER-sallyport-session-id", attempt[:], len(id))
	if err != nil {
		return id, key, err
	}
	b, err := l.Export("EXPORTER-sallyport-session-key", attempt[:], len(key))
	copy(id[:], a)
	copy(key[:], b)
	return id, key, err
}

func uint64Bytes(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

// proof shows that a role's end knows the session's key, on the link from which
// binding was exported.
func proof(key [sha256.Size]byte, role string, binding []byte, id ID, epoch uint64, st status, have uint64) []byte {
	m := hmac.New(sha256.New, key[:])
	m.Write([]byte(role))
	m.Write(binding)
	m.Write(id[:])
	m.Write(uint64Bytes(epoch))
	m.Write([]byte{byte(st)})
	m.Write(uint64Bytes(have))
	return m.Sum(nil)
}

func binding(l *link.Conn) ([]byte, error) {
	return l.Export("EXPORTER-sallyport-session-binding", nil, sha256.Size)
}
