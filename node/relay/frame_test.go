package relay

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// FuzzReadFrame: a message is taken whole, and nothing after it.
func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x04\x21\x12\xa4\x42............abcdmore"))
	f.Add([]byte("\x00\x01\xff\xec\x21\x12\xa4\x42............"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		p := make([]byte, 1600)
		n, err := readFrame(r, p)
		if err != nil {
			return
		}
		if n != headerSize+int(binary.BigEndian.Uint16(data[2:])) || n > maxMessage || !bytes.Equal(p[:n], data[:n]) || r.Len() != len(data)-n {
			t.Errorf("%d bytes of %x, %d left", n, data, r.Len())
		}
	})
}
