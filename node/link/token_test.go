package link

import (
	"errors"
	"testing"
)

func TestTokenDependsOnEverything(t *testing.T) {
	caller, callee := newKey(t).Public(), newKey(t).Public()
	base := NewToken([16]byte{1}, [16]byte{2}, caller, callee)
	if base != NewToken([16]byte{1}, [16]byte{2}, caller, callee) {
		t.Fatal("not a function of its inputs")
	}
	for name, other := range map[string]Token{
		"secret":  NewToken([16]byte{3}, [16]byte{2}, caller, callee),
		"attempt": NewToken([16]byte{1}, [16]byte{3}, caller, callee),
		"roles":   NewToken([16]byte{1}, [16]byte{2}, callee, caller),
	} {
		if other == base {
			t.Errorf("the token does not depend on the %s", name)
		}
	}
	if base[0]&0x80 == 0 {
		t.Error("a token may be taken for a TLS record")
	}
}

// After a simultaneous open the callee's token crosses the caller's hello.
func TestClientStripsTheToken(t *testing.T) {
	ctx := shortly(t)
	a, b := pipe(t)
	callee := NewIdentity(newKey(t), nil)
	token := NewToken([16]byte{7}, [16]byte{8}, newKey(t).Public(), callee.Key())
	if _, err := b.Write(token[:]); err != nil {
		t.Fatal(err)
	}
	done := serve(ctx, b, callee)
	if _, err := Client(ctx, a, NewIdentity(newKey(t), nil), callee.Key(), token); err != nil {
		t.Fatal(err)
	}
	if r := <-done; r.err != nil {
		t.Fatal(r.err)
	}
}

func TestClientRefusesAnotherToken(t *testing.T) {
	ctx := shortly(t)
	a, b := pipe(t)
	wrong := NewToken([16]byte{1}, [16]byte{}, newKey(t).Public(), newKey(t).Public())
	if _, err := b.Write(wrong[:]); err != nil {
		t.Fatal(err)
	}
	right := NewToken([16]byte{2}, [16]byte{}, newKey(t).Public(), newKey(t).Public())
	if _, err := Client(ctx, a, NewIdentity(newKey(t), nil), newKey(t).Public(), right); !errors.Is(err, errToken) {
		t.Fatalf("got %v", err)
	}
}

func TestSniff(t *testing.T) {
	token := NewToken([16]byte{5}, [16]byte{6}, newKey(t).Public(), newKey(t).Public())
	for _, c := range []struct {
		name  string
		sent  []byte
		token bool
		bad   bool
	}{
		{"token", token[:], true, false},
		{"hello", []byte{recordHandshake, 3, 1}, false, false},
		{"http", []byte("GET / HTTP/1.1\r\n"), false, true},
		{"half a token", token[:8], false, true},
		{"nothing", nil, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pipe(t)
			_, _ = a.Write(c.sent)
			_ = a.Close()
			conn, got, ok, err := Sniff(b)
			if (err != nil) != c.bad || ok != c.token {
				t.Fatalf("token %v, error %v", ok, err)
			}
			if ok && got != token {
				t.Fatal("another token came out")
			}
			if !ok && err == nil {
				head := make([]byte, len(c.sent))
				n := 0
				for n < len(head) {
					k, err := conn.Read(head[n:])
					if err != nil {
						t.Fatal(err)
					}
					n += k
				}
				if string(head) != string(c.sent) {
					t.Fatalf("sniffing lost bytes: %x", head)
				}
			}
		})
	}
}
