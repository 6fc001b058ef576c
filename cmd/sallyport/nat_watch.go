package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/node"
)

// lookAround is how often --watch looks whether the machine's addresses have
// changed, which costs no packet.
const lookAround = 2 * time.Second

// leastEvery is how often --watch may ask: the servers are other people's.
const leastEvery = 10 * time.Second

// watchNAT asks again and again until ctx ends, and prints what has changed.
func watchNAT(ctx context.Context, a *app, f *nodeFlags, ask func(context.Context) (*natSurvey, error), every time.Duration) error {
	var last *natSurvey
	for {
		s, err := ask(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			// The network is gone, for now.
			s = &natSurvey{Verdict: "Direct connections: unlikely. " + err.Error() + "."}
		}
		changes := natChanges(last, s)
		switch {
		case len(changes) == 0 && last != nil:
		case a.json:
			emit(a.out, s)
		case last == nil:
			s.print(a.out, a.verbose)
		default:
			_, _ = io.WriteString(a.out, time.Now().Format(time.TimeOnly)+" "+strings.Join(changes, "\n         ")+"\n")
		}
		last = s
		if err := untilChanged(ctx, f.interfaces, every); err != nil {
			return err
		}
	}
}

// untilChanged waits for a change of this machine's addresses, and every at most.
func untilChanged(ctx context.Context, interfaces []string, every time.Duration) error {
	end := time.NewTimer(every)
	defer end.Stop()
	tick := time.NewTicker(lookAround)
	defer tick.Stop()
	before, _ := node.Places(interfaces)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return nil
		case <-tick.C:
			if now, _ := node.Places(interfaces); !slices.Equal(before, now) {
				return nil
			}
		}
	}
}

// natChanges says in a line each what differs between two surveys, leaving out
// what differs every time. Nothing differs from nil.
func natChanges(before, now *natSurvey) (out []string) {
	if before == nil {
		return nil
	}
	was := map[string]natInterface{}
	name := func(i natInterface) string { return fmt.Sprintf("%s, %s, %s", i.Interface, i.Family, i.Local) }
	for _, i := range before.Interfaces {
		was[name(i)] = i
	}
	for _, i := range now.Interfaces {
		old, ok := was[name(i)]
		delete(was, name(i))
		if !ok {
			out = append(out, fmt.Sprintf("%s: new, %s", name(i), cmp.Or(i.Error, i.Type)))
			continue
		}
		for _, f := range []struct{ what, old, now string }{
			{"error", old.Error, i.Error},
			{"seen as", old.External, i.External},
			{"type", old.Type, i.Type},
			{"ports", old.delta.String(), i.delta.String()},
			{"sure", fmt.Sprint(old.Sure), fmt.Sprint(i.Sure)},
			{"strangers", old.Refusal, i.Refusal},
			{"hairpin", old.Hairpin, i.Hairpin},
			{"router offers", old.Router.offered(), i.Router.offered()},
			{"levels", fmt.Sprint(old.Levels), fmt.Sprint(i.Levels)},
		} {
			if f.old != f.now {
				out = append(out, fmt.Sprintf("%s: %s %s, was %s", name(i), f.what, cmp.Or(f.now, "none"), cmp.Or(f.old, "none")))
			}
		}
	}
	for _, i := range before.Interfaces {
		if _, gone := was[name(i)]; gone {
			out = append(out, name(i)+": gone")
		}
	}
	if len(before.Interfaces)+len(now.Interfaces) == 0 && before.Verdict != now.Verdict {
		out = append(out, now.Verdict)
	}
	return out
}
