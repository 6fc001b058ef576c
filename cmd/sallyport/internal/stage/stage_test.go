package stage

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

func TestMain(m *testing.M) {
	natlab.Main()
	goleak.VerifyTestMain(m)
}

// On loopback each machine has a home and a key of its own, and is called by an
// address that names its key. Nothing of it is left.
func TestMachinesOnLoopback(t *testing.T) {
	s, err := New(Config{Loopback: "lo"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, name := range []string{"alice", "bob"} {
		if err := s.Add(name); err != nil {
			t.Fatal(err)
		}
	}
	words := s.Expand([]string{"ping", "{alice}", "{bob}", "{bob.ip}", "{carol}"})
	if words[0] != "ping" || words[3] != "{bob.ip}" || words[4] != "{carol}" { // which have no address
		t.Errorf("%q", words)
	}
	for n, name := range []string{"alice", "bob"} {
		a, err := address.Parse(words[1+n])
		if err != nil || a.Key != s.Machine(name).key {
			t.Errorf("%s: %q, %v", name, words[1+n], err)
		}
		c, _ := s.Machine(name).Command(context.Background(), "sallyport", "addr")
		if c.Path != s.exe || !slices.Equal(c.Args, []string{"sallyport", "addr"}) {
			t.Errorf("%s: %q %q", name, c.Path, c.Args)
		}
		if !slices.Contains(c.Env, "SALLYPORT_LAB_bob="+words[2]) || !slices.Contains(c.Env, "XDG_CONFIG_HOME="+s.Machine(name).home+"/config") {
			t.Errorf("%s: %q", name, c.Env)
		}
	}
	if s.Machine("alice").key == s.Machine("bob").key || s.Machine("carol") != nil {
		t.Error("the machines are not what was added")
	}
	s.Close()
	if _, err := os.Stat(s.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder is left: %v", err)
	}
}

// Two hosts may share a NAT, where the other is there already.
func TestHostsShareNATs(t *testing.T) {
	if err := natlab.Available(); err != nil {
		t.Skip(err)
	}
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range []struct{ spec, refused string }{
		{"a:full-cone", ""},
		{"b:@a", ""},
		{"c:@d", `host "c" is behind the NAT of "d", which is not a host before it`},
	} {
		h, err := ParseHost(c.spec, 0)
		if err != nil {
			t.Fatal(err)
		}
		err = s.AddHost(h)
		var bad HostError
		if (err != nil) != (c.refused != "") || err != nil && (!errors.As(err, &bad) || err.Error() != c.refused) {
			t.Errorf("%s: %v", c.spec, err)
		}
	}
	a, b := s.Machine("a").host, s.Machine("b").host
	if s.boxes["a"] == nil || s.boxes["a"] != s.boxes["b"] || a.Addr() == b.Addr() {
		t.Errorf("%v and %v are not behind one NAT", a.Addr(), b.Addr())
	}
	if words := s.Expand([]string{"{a.ip}"}); words[0] != a.Addr().String() || strings.Contains(words[0], "{") {
		t.Errorf("%q", words)
	}
}
