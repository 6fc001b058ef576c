package main

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// lines hands each Write on whole, so that what several goroutines say does not
// mix.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// say tells people something on standard error. With --json it is silent: then
// events are what counts; with --quiet, too.
func (a *app) say(format string, args ...any) {
	if !a.json && !a.quiet {
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}

// emit writes v as one line of JSON. Marshalling can't fail: events are structs
// of strings and numbers.
func emit(w io.Writer, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(append(b, '\n'))
}

// plural gives "1 byte", "2 bytes".
func plural[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// megabytes gives how much went over a connection.
func megabytes(n int64) string {
	if n < 1e6 {
		return plural(n, "byte")
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
