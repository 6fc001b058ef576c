package main

import (
	"testing"

	"github.com/sallyport-net/sallyport/node/tunnel"
)

func TestParseForward(t *testing.T) {
	local := func(host string, port uint16) tunnel.Place { return tunnel.Place{Host: host, Port: port} }
	for _, c := range []struct {
		kind forwardKind
		text string
		want forwardSpec
	}{
		{localForward, "8080:127.0.0.1:80", forwardSpec{bind: local("127.0.0.1", 8080), to: local("127.0.0.1", 80)}},
		{localForward, "0:Example.org:80", forwardSpec{bind: local("127.0.0.1", 0), to: local("example.org", 80)}},
		{localForward, "*:8080:h:80", forwardSpec{bind: local("::", 8080), to: local("h", 80)}},
		{localForward, "localhost:8080:h:80", forwardSpec{bind: local("127.0.0.1", 8080), to: local("h", 80)}},
		{localForward, "[::1]:8080:[fd00::1]:80", forwardSpec{bind: local("::1", 8080), to: local("fd00::1", 80)}},
		{localForward, "8080", forwardSpec{bind: local("127.0.0.1", 8080)}},
		{localForward, "[::]:8080", forwardSpec{bind: local("::", 8080)}},
		{remoteForward, "0.0.0.0:1:h:2", forwardSpec{bind: local("0.0.0.0", 1), to: local("h", 2)}},
		{socksForward, "1080", forwardSpec{bind: local("127.0.0.1", 1080)}},
		{socksForward, "[::1]:1080", forwardSpec{bind: local("::1", 1080)}},
	} {
		c.want.kind = c.kind
		if got, err := parseForward(c.kind, c.text); err != nil || got != c.want {
			t.Errorf("%s %q is %+v, %v", c.kind, c.text, got, err)
		}
	}
	for _, c := range []struct {
		kind forwardKind
		text string
	}{
		{localForward, ""}, {localForward, ":"}, {localForward, "8080:"}, {localForward, "8080:80"}, {localForward, ":8080:h:80"},
		{localForward, "8080:h:0"}, {localForward, "65536:h:1"}, {localForward, "-1:h:1"}, {localForward, "8080:0.0.0.0:80"},
		{localForward, "8080:a b:80"}, {localForward, "[::1:8080:h:1"}, {localForward, "[::1]x:8080:h:1"}, {localForward, "::1:8080:h:1"},
		{localForward, "[fe80::1%lo]:1:h:1"}, {remoteForward, "8080"}, {remoteForward, "1:2"}, {socksForward, "1:h:2"}, {socksForward, "host:1"},
	} {
		if got, err := parseForward(c.kind, c.text); err == nil {
			t.Errorf("%s %q is taken for %+v", c.kind, c.text, got)
		}
	}
}

func FuzzParseForward(f *testing.F) {
	for _, s := range []string{"8080:127.0.0.1:80", "[::1]:8080:[fd00::1]:80", "*:1", "[", "]:", "::::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, kind := range []forwardKind{localForward, remoteForward, socksForward} {
			got, err := parseForward(kind, s)
			if err != nil {
				continue
			}
			if _, ok := got.bind.Addr(); !ok {
				t.Errorf("%q binds to %q", s, got.bind.Host)
			}
			if _, err := tunnel.ParsePlace(got.to.String()); (got.to != tunnel.Place{}) && err != nil {
				t.Errorf("%q leads to %v: %v", s, got.to, err)
			}
		}
	})
}
