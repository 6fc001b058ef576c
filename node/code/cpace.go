package code

import (
	"crypto/rand"
	"crypto/sha512"
	"errors"

	"github.com/gtank/ristretto255"
)

// cpaceDSI names the cipher suite CPACE-RISTR255-SHA512.
const cpaceDSI = "CPaceRistretto255"

var errNoPoint = errors.New("the other side's message is no point, or the neutral one")

// cpace is one side of an exchange (section 7.2 of the draft), after it has
// made its share.
type cpace struct {
	sid    []byte
	scalar *ristretto255.Scalar
	share  []byte // what goes to the other side
}

// newCPace draws a scalar and computes the share.
func newCPace(password, ci, sid []byte) *cpace {
	var random [64]byte
	_, _ = rand.Read(random[:])
	return cpaceWith(password, ci, sid, ristretto255.NewScalar().FromUniformBytes(random[:]))
}

func cpaceWith(password, ci, sid []byte, scalar *ristretto255.Scalar) *cpace {
	hash := sha512.Sum512(generatorString(password, ci, sid))
	g := ristretto255.NewElement().FromUniformBytes(hash[:])
	return &cpace{sid, scalar, ristretto255.NewElement().ScalarMult(scalar, g).Encode(nil)}
}

// generatorString is section 8.1's, for SHA-512 with its blocks of 128 bytes.
func generatorString(password, ci, sid []byte) []byte {
	padding := max(0, sha512.BlockSize-len(lv(password))-len(lv([]byte(cpaceDSI)))-1)
	return lv([]byte(cpaceDSI), password, make([]byte, padding), ci, sid)
}

// key computes the ISK. ya and yb are the shares of the initiator and of the
// responder, ada and adb their associated data; theirs is the one of the two
// that is not ours.
func (c *cpace) key(theirs, ya, ada, yb, adb []byte) ([]byte, error) {
	point := ristretto255.NewElement()
	if err := point.Decode(theirs); err != nil {
		return nil, errNoPoint
	}
	k := ristretto255.NewElement().ScalarMult(c.scalar, point)
	if k.Equal(ristretto255.NewElement()) == 1 {
		return nil, errNoPoint
	}
	isk := sha512.Sum512(append(lv([]byte(cpaceDSI+"_ISK"), c.sid, k.Encode(nil)), lv(ya, ada, yb, adb)...))
	return isk[:], nil
}

// lv is the draft's lv_cat: each part behind its length as LEB128.
func lv(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		n := len(p)
		for ; n >= 0x80; n >>= 7 {
			b = append(b, byte(n)|0x80)
		}
		b = append(append(b, byte(n)), p...)
	}
	return b
}
