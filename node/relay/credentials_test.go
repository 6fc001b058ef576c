package relay

import (
	"testing"
	"time"
)

// The name of a relay's user comes from anybody.
func FuzzReadUser(f *testing.F) {
	user, _ := Credentials("secret", "a name", time.Unix(1777636800, 0))
	seeds := []string{user, "1:", ":a", "a:b", "-1:a:b", "9223372036854775808:a", "+5:\x00"}
	for _, s := range seeds {
		f.Add(s)
	}
	if name, until, ok := readUser(user); !ok || name != "a name" || until.Unix() != 1777636800 {
		f.Fatalf("%q is %q until %v, %v", user, name, until, ok)
	}
	f.Fuzz(func(t *testing.T, user string) {
		name, until, ok := readUser(user)
		if !ok {
			if name != "" || !until.IsZero() {
				t.Errorf("%q is refused, and is %q until %v", user, name, until)
			}
			return
		}
		if len(name) > maxSecret {
			t.Errorf("a name of %d bytes", len(name))
		}
		canonical, _ := Credentials("secret", name, until)
		if again, then, ok := readUser(canonical); len(canonical) <= maxSecret && (!ok || again != name || !then.Equal(until)) {
			t.Errorf("%q is %q until %v, and then %q until %v", user, name, until, again, then)
		}
	})
}
