package forward

import (
	"testing"

	"github.com/sallyport-net/sallyport/node/tunnel"
)

func TestParseForward(t *testing.T) {
	local := func(host string, port uint16) tunnel.Place { return tunnel.Place{Host: host, Port: port} }
	for _, c := range []struct {
		kind Kind
		text string
		want Spec
	}{
		{Local, "8080:127.0.0.1:80", Spec{Bind: local("127.0.0.1", 8080), To: local("127.0.0.1", 80)}},
		{Local, "0:Example.org:80", Spec{Bind: local("127.0.0.1", 0), To: local("example.org", 80)}},
		{Local, "*:8080:h:80", Spec{Bind: local("::", 8080), To: local("h", 80)}},
		{Local, "localhost:8080:h:80", Spec{Bind: local("127.0.0.1", 8080), To: local("h", 80)}},
		{Local, "[::1]:8080:[fd00::1]:80", Spec{Bind: local("::1", 8080), To: local("fd00::1", 80)}},
		{Local, "8080", Spec{Bind: local("127.0.0.1", 8080)}},
		{Local, "[::]:8080", Spec{Bind: local("::", 8080)}},
		{Remote, "0.0.0.0:1:h:2", Spec{Bind: local("0.0.0.0", 1), To: local("h", 2)}},
		{SOCKS, "1080", Spec{Bind: local("127.0.0.1", 1080)}},
		{SOCKS, "[::1]:1080", Spec{Bind: local("::1", 1080)}},
	} {
		c.want.Kind = c.kind
		if got, err := Parse(c.kind, c.text); err != nil || got != c.want {
			t.Errorf("%s %q is %+v, %v", c.kind, c.text, got, err)
		}
	}
	for _, c := range []struct {
		kind Kind
		text string
	}{
		{Local, ""}, {Local, ":"}, {Local, "8080:"}, {Local, "8080:80"}, {Local, ":8080:h:80"},
		{Local, "8080:h:0"}, {Local, "65536:h:1"}, {Local, "-1:h:1"}, {Local, "8080:0.0.0.0:80"},
		{Local, "8080:a b:80"}, {Local, "[::1:8080:h:1"}, {Local, "[::1]x:8080:h:1"}, {Local, "::1:8080:h:1"},
		{Local, "[fe80::1%lo]:1:h:1"}, {Remote, "8080"}, {Remote, "1:2"}, {SOCKS, "1:h:2"}, {SOCKS, "host:1"},
	} {
		if got, err := Parse(c.kind, c.text); err == nil {
			t.Errorf("%s %q is taken for %+v", c.kind, c.text, got)
		}
	}
}

func FuzzParseForward(f *testing.F) {
	for _, s := range []string{"8080:127.0.0.1:80", "[::1]:8080:[fd00::1]:80", "*:1", "[", "]:", "::::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, kind := range []Kind{Local, Remote, SOCKS} {
			got, err := Parse(kind, s)
			if err != nil {
				continue
			}
			if _, ok := got.Bind.Addr(); !ok {
				t.Errorf("%q binds to %q", s, got.Bind.Host)
			}
			if _, err := tunnel.ParsePlace(got.To.String()); (got.To != tunnel.Place{}) && err != nil {
				t.Errorf("%q leads to %v: %v", s, got.To, err)
			}
		}
	})
}
