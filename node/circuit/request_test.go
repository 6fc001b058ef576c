package circuit

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/address"
)

func node(t testing.TB, number byte) address.Key {
	t.Helper()
	k, err := address.PrivateKeyFromBytes(append(make([]byte, 31), number))
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

func located(t testing.TB, number byte) address.Address {
	t.Helper()
	a, err := address.Parse("1-[0,0,203.0.113.9,192.168.1.2,4001,3,2,0]-0-" + node(t, number).String() + "-m")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func requests(t testing.TB) []Request {
	return []Request{
		{Op: To, Node: node(t, 1)}, {Op: To, Node: node(t, 2), Address: located(t, 2)},
		{Op: From, Node: node(t, 3)}, {Op: Await, Node: node(t, 4)},
	}
}

func same(a, b Request) bool {
	return a.Op == b.Op && a.Node == b.Node && a.Address.Equal(b.Address)
}

// A request is read as it was written, and nothing of what follows with it.
func TestRequestsComeBack(t *testing.T) {
	for _, r := range requests(t) {
		from := bytes.NewReader(append(r.Append(nil), "what follows"...))
		got, err := ReadRequest(from)
		if err != nil || !same(got, r) {
			t.Errorf("%+v came back as %+v, %v", r, got, err)
		}
		if rest, _ := io.ReadAll(from); string(rest) != "what follows" {
			t.Errorf("%q is left", rest)
		}
	}
}

// The layout is the one of the package comment.
func TestRequestLayout(t *testing.T) {
	r := Request{Op: To, Node: node(t, 2), Address: located(t, 2)}
	text := r.Address.String()
	want := append([]byte{1, 1}, r.Node.Bytes()...)
	want = append(append(want, 0, byte(len(text))), text...)
	if got := r.Append(nil); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

func TestBadRequests(t *testing.T) {
	good := Request{Op: To, Node: node(t, 2), Address: located(t, 2)}.Append(nil)
	change := func(at int, to ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], to)
		return b
	}
	other := Request{Op: To, Node: node(t, 1), Address: located(t, 2)}
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"nothing":            {nil, io.EOF},
		"cut in the key":     {good[:20], io.ErrUnexpectedEOF},
		"cut in the address": {good[:len(good)-1], io.ErrUnexpectedEOF},
		"version 2":          {change(0, 2), errUnsupported},
		"version 0":          {change(0, 0), errUnsupported},
		"TLS":                {[]byte{0x16, 3, 1, 2, 0}, errUnsupported},
		"op 0":               {change(1, 0), errUnsupported},
		"op 4":               {change(1, 4), errUnsupported},
		"no key":             {change(2, bytes.Repeat([]byte{0xff}, keySize)...), errMalformed},
		"a long address":     {change(2+keySize, 0xff, 0xff), errMalformed},
		"no address":         {change(headSize, bytes.Repeat([]byte("x"), 60)...), errMalformed},
		"another's address":  {other.Append(nil), errMalformed},
		"an address in From": {change(1, byte(From)), errMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			if r, err := ReadRequest(bytes.NewReader(c.b)); !errors.Is(err, c.want) {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
	if r := (Request{Op: To, Node: node(t, 1), Address: address.Address{Key: node(t, 1), MachineID: strings.Repeat("m", 3000)}}); len(r.Append(nil)) != headSize {
		t.Error("an address that nobody could read is written")
	}
}

func FuzzReadRequest(f *testing.F) {
	seeds := 0
	for _, r := range requests(f) {
		f.Add(r.Append(nil))
		seeds++
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		from := bytes.NewReader(b)
		r, err := ReadRequest(from)
		if err != nil {
			return
		}
		if taken := len(b) - from.Len(); taken > headSize+MaxAddress {
			t.Errorf("%d bytes were read", taken)
		}
		if len(r.Address.String()) > MaxAddress { // as it is spelled by us
			return
		}
		if got, err := ReadRequest(bytes.NewReader(r.Append(nil))); err != nil || !same(got, r) {
			t.Errorf("%+v became %+v, %v", r, got, err)
		}
	})
}
