package main

import (
	"strconv"
	"testing"

	"github.com/sallyport-net/sallyport/address"
)

// What people write after flags: it is understood and within bounds, or misuse.
func FuzzFlags(f *testing.F) {
	key, err := address.GenerateKey()
	if err != nil {
		f.Fatal(err)
	}
	seeds := []string{
		"everyone", "nobody", "everyone," + key.Public().String(), "nobody,x", "listed", "10M", "1000000G", "-1k", "0", "9223372036854775807",
		"lan,direct", "RELAY", "127.0.0.1:80", "[::1]:0", "a:65536", "turn:s@h:1", "tcp://h:1883", "",
	}
	for _, s := range seeds {
		f.Add(s)
	}
	if n, ok := parseRate("10M"); !ok || n != 10_000_000 {
		f.Fatalf("10M is %d, %v", n, ok)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, ok := parseRate(text); ok {
			if again, ok := parseRate(strconv.FormatInt(n, 10)); n < 1 || n > 1e15 || !ok || again != n {
				t.Errorf("a rate of %q is %d, and then %d", text, n, again)
			}
		}
		_, allow := parseAllow(text)
		_, birthday := parseBirthday(text)
		flags := nodeFlags{brokers: []string{text}, turn: []string{text}, strategies: []string{text}, registries: []string{text}}
		_, brokers := flags.parseBrokers()
		_, relays := flags.parseRelays()
		list, strategies := flags.parseStrategies()
		_, registries := flags.parseRegistries()
		if strategies == nil && len(list) != 1 {
			t.Errorf("strategies %q are %v", text, list)
		}
		for what, err := range map[string]error{"allow": allow, "birthday": birthday, "broker": brokers, "turn": relays, "strategies": strategies, "registry": registries} {
			if err == nil {
				continue
			}
			if e := explain(err); e.status != statusMisused || len(e.what) > 2000+4*len(text) {
				t.Errorf("--%s %q: status %d, %q", what, text, e.status, e.what)
			}
		}
	})
}
