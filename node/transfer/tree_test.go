package transfer

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"testing"
)

// TestRoot compares with the definition, for files of more blocks than are held
// at once.
func TestRoot(t *testing.T) {
	m := newMill(nil)
	defer m.close()
	for _, n := range []int{0, 1, 2, MaxHashes, MaxHashes + 1, 2*MaxHashes + 7} {
		for _, known := range []int{0, n / 2, n} {
			size := int64(n) * Block
			want := sha256.New()
			want.Write([]byte("sallyport file 1\x00"))
			want.Write(binary.BigEndian.AppendUint64(nil, uint64(size)))
			var have []sum
			for i := range n {
				s := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
				want.Write(s[:])
				if i < known {
					have = append(have, s)
				}
			}
			r := newRooter(m, size, have)
			for i := known; i < n; i++ {
				place, err := r.next()
				if err != nil {
					t.Fatal(err)
				}
				b := m.buffer(2)
				copy(b, []byte{byte(i), byte(i >> 8)})
				m.put(b, place)
			}
			if got, err := r.root(); err != nil || !bytes.Equal(got[:], want.Sum(nil)) {
				t.Errorf("%d blocks, of which %d are known: %x, %v", n, known, got, err)
			}
		}
	}
}
