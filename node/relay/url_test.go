package relay

import (
	"strings"
	"testing"
	"time"
)

func TestParseURL(t *testing.T) {
	for text, want := range map[string]Place{
		"turn:s3cret@relay.example.org:3480":                {Host: "relay.example.org:3480", Secret: "s3cret"},
		"turn:s3cret@192.0.2.1":                             {Host: "192.0.2.1:3478", Secret: "s3cret"},
		"turns:s3cret@relay.example.org":                    {Host: "relay.example.org:5349", TLS: true, Secret: "s3cret"},
		"turn:alice:p%3Aw%40@[2001:db8::1]:5?transport=tcp": {Host: "[2001:db8::1]:5", User: "alice", Password: "p:w@"},
		"turn:1700000000%3Abob:aa%2Fb%2B=@[2001:db8::1]":    {Host: "[2001:db8::1]:3478", User: "1700000000:bob", Password: "aa/b+="},
	} {
		got, err := ParseURL(text)
		if err != nil || got != want {
			t.Errorf("%q gave %+v, %v", text, got, err)
		}
		if again, err := ParseURL(got.URL()); err != nil || again != got {
			t.Errorf("%q came back as %+v, %v", got.URL(), again, err)
		}
		if strings.Contains(got.String(), "s3cret") || strings.Contains(got.String(), "alice") {
			t.Errorf("String gives %q", got)
		}
	}
	for _, text := range []string{
		"", "turn:", "turn:@", "turn:@h", "turn:s@", "turn:h:3478", "http://s@h", "turn://s@h:1", "turn:s@h:0", "turn:s@h:65536", "turn:s@h:x",
		"turn:s@h?transport=udp", "turn:s@h?x", "turnss:s@h", "turn:a:@h", "turn::b@h", "turn:a:b:c@h", "turn:%zz@h", "turn:%00@h", "turn:%FF@h",
		"turn:a@b@c", "turn:s@2001:db8::1", "turn:s@h/x", "turn:" + strings.Repeat("s", 257) + "@h", "turn:s@" + strings.Repeat("h", 1100),
	} {
		if p, err := ParseURL(text); err == nil {
			t.Errorf("%q passes as %+v", text, p)
		}
	}
}

// The vector is that of the REST draft's arithmetic, made with
// printf 1433895918:alice | openssl dgst -sha1 -hmac north -binary | base64
func TestCredentials(t *testing.T) {
	user, password := Credentials("north", "alice", time.Unix(1433895918, 0))
	if user != "1433895918:alice" || password != "RqMvcGPYTJMGThVLSi4amT4zFtI=" {
		t.Errorf("%s %s", user, password)
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("turn:s3cret@relay.example.org:3480")
	f.Add("turn:a:b%20c@[2001:db8::1]?transport=tcp")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseURL(text)
		if err != nil {
			return
		}
		if again, err := ParseURL(p.URL()); err != nil || again != p {
			t.Errorf("%q gives %+v, which comes back as %+v, %v", text, p, again, err)
		}
	})
}
