package main

import (
	"testing"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
)

func TestParseAllow(t *testing.T) {
	var keys []address.Key
	for range 3 {
		k, err := address.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k.Public())
	}
	levels := func(a signaling.Admission) (l [3]signaling.Level) {
		for n, k := range keys {
			l[n] = a.Level(k)
		}
		return l
	}
	const no, open, listed = signaling.Stranger, signaling.Open, signaling.Listed
	for text, want := range map[string][3]signaling.Level{
		"everyone": {open, open, open},
		"nobody":   {no, no, no},
		keys[0].String() + ", " + keys[2].String(): {listed, no, listed},
		"everyone," + keys[1].String():             {open, listed, open},
	} {
		got, err := parseAllow(text)
		if err != nil || levels(got) != want {
			t.Errorf("%q: got %v, %v; want %v", text, levels(got), err, want)
		}
	}
	for _, text := range []string{"", "nobody,everyone", keys[0].String() + ",", "None-0-0-zmUGXPOFxUBuToh-x"} {
		if _, err := parseAllow(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
