package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// narrator is a slog.Handler that tells the story of a node: with -v as it
// happens, and otherwise only what each strategy is at, when somebody asks.
type narrator struct {
	app   *app
	attrs []slog.Attr
	story *story // shared by all that WithAttrs makes
}

// story is the latest step of each strategy of a call, in order of appearance.
type story struct {
	mu    sync.Mutex
	order []string
	last  map[string]string
}

func newNarrator(a *app) *narrator {
	return &narrator{app: a, story: &story{last: make(map[string]string)}}
}

func (n *narrator) Enabled(context.Context, slog.Level) bool { return true }

func (n *narrator) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &narrator{n.app, append(n.attrs[:len(n.attrs):len(n.attrs)], attrs...), n.story}
}

// WithGroup has no use for groups: names are plain.
func (n *narrator) WithGroup(string) slog.Handler { return n }

func (n *narrator) Handle(_ context.Context, r slog.Record) error {
	var at time.Duration
	var strategy, what, chain string
	fields := map[string]string{}
	var plain strings.Builder
	take := func(a slog.Attr) bool {
		fields[a.Key] = a.Value.String()
		fmt.Fprintf(&plain, " %s=%s", a.Key, quoteSpaces(a.Value.String()))
		switch a.Key {
		case "at":
			at, _ = a.Value.Any().(time.Duration)
		case "strategy":
			strategy = a.Value.String()
		case "what":
			what = a.Value.String()
		case "error":
			chain = a.Value.String()
		}
		return true
	}
	for _, a := range n.attrs {
		take(a)
	}
	r.Attrs(take)
	step := r.Message == "attempt"
	if step {
		n.story.note(strategy, what)
	}
	if !n.app.verbose || !step && r.Level < slog.LevelInfo {
		return nil
	}
	switch {
	case n.app.json && step:
		emit(n.app.err, stepEvent{"step", milliseconds(at), strategy, what, chain})
	case n.app.json:
		emit(n.app.err, logEvent{"log", r.Level.String(), r.Message, fields})
	case step:
		n.app.say("%9.1f ms  %-8s %s", milliseconds(at), strategy, inFull(what, chain))
	default:
		n.app.say("%s:%s", r.Message, plain.String())
	}
	return nil
}

type stepEvent struct {
	Event    string  `json:"event"`
	MS       float64 `json:"ms"`
	Strategy string  `json:"strategy,omitempty"`
	What     string  `json:"what"`
	Error    string  `json:"error,omitempty"` // all of it, where what is but the one cause
}

// inFull is a step with the chain of errors of which it is but the cause.
func inFull(what, chain string) string {
	if chain != "" {
		what += " (" + chain + ")"
	}
	return strings.ReplaceAll(what, "\n", "; ")
}

type logEvent struct {
	Event   string            `json:"event"`
	Level   string            `json:"level"`
	Message string            `json:"message"`
	Fields  map[string]string `json:"fields,omitempty"`
}

func (s *story) note(strategy, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strategy == "" {
		strategy = "signalling"
	}
	if _, known := s.last[strategy]; !known {
		s.order = append(s.order, strategy)
	}
	s.last[strategy] = what
}

// latest gives what each strategy is at, as "direct: dialling …; punch: …", but
// for those that had no chance here.
func (s *story) latest() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var parts []string
	for _, name := range s.order {
		what, _, _ := strings.Cut(s.last[name], "\n")
		what = strings.TrimPrefix(what, "ended: ")
		if strings.HasPrefix(what, "not tried: ") {
			continue
		}
		parts = append(parts, name+": "+what)
	}
	return strings.Join(parts, "; ")
}

func quoteSpaces(s string) string {
	if strings.ContainsAny(s, " \t\n\"") {
		return fmt.Sprintf("%q", s)
	}
	return s
}

// milliseconds to a hundredth, as people and JSON get them.
func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}
