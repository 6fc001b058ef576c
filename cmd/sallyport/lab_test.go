package main

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestSplitCommands(t *testing.T) {
	words := strings.Fields
	for text, want := range map[string][]labPart{
		"ls -l":            {{"a", words("ls -l")}},
		"b: ls":            {{"b", words("ls")}},
		"x --- y --- z":    nil, // no third host
		"x --- y --- a: z": {{"a", words("x")}, {"b", words("y")}, {"a", words("z")}},
		"c: x":             nil,
		"x ---":            nil,
		"--- x":            nil,
		"a:":               nil,
	} {
		got, err := splitCommands(words(text), []string{"a", "b"})
		if (err == nil) != (want != nil) || !reflect.DeepEqual(got, want) && want != nil {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestLabelled(t *testing.T) {
	var b bytes.Buffer
	l := &labelled{w: &b, label: "a| "}
	for _, s := range []string{"one\ntw", "o\n", "\n", "three"} {
		if n, err := l.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	l.flush()
	if got, want := b.String(), "a| one\na| two\na| \na| three\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
