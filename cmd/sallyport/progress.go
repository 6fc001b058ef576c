package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/sallyport-net/sallyport/node/transfer"
)

// How often progress is shown: at a terminal, as events, and as lines.
const (
	drawEvery  = 100 * time.Millisecond
	eventEvery = time.Second
	lineEvery  = 10 * time.Second
)

// gauge shows how far a transfer is.
type gauge struct {
	app      *app
	progress *transfer.Progress
	terminal int // columns; 0 where there is none

	asking  string    // what is said while the other side has not answered
	since   time.Time // when that began
	quietBy time.Time // when it is to be said
	begun   time.Time // of the moving
	from    int64     // bytes that were done then
	said    transfer.Stage
	drawn   bool
	resumed bool
}

// showProgress shows it until the returned function is called. asking is what
// is said when the other side takes its time to answer an offer; it may be empty.
func (a *app) showProgress(p *transfer.Progress, asking string) (stop func()) {
	g := &gauge{app: a, progress: p, terminal: a.columns(), asking: asking, since: time.Now()}
	g.quietBy = g.since.Add(silence)
	every := lineEvery
	switch {
	case a.json:
		every = eventEvery
	case a.quiet:
		return func() {}
	case g.terminal > 0:
		every = drawEvery
	}
	ended := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		look := time.NewTicker(drawEvery)
		defer look.Stop()
		var last time.Time
		for {
			select {
			case <-ended:
				g.last()
				return
			case now := <-look.C:
				s := p.State()
				g.stage(s, now)
				if s.Stage == transfer.Moving && now.Sub(last) >= every && (!last.IsZero() || every < lineEvery) {
					g.show(s, now)
					last = now
				} else if last.IsZero() {
					last = now
				}
			}
		}
	})
	return func() { close(ended); all.Wait() }
}

// columns is the width of the terminal at standard error, 0 where there is none.
func (a *app) columns() int {
	f, ok := a.errFile()
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 20 {
		return 80
	}
	return width
}

// errFile is standard error as a file.
func (a *app) errFile() (*os.File, bool) {
	var w io.Writer = a.err
	if l, ok := w.(*lines); ok {
		w = l.w
	}
	f, ok := w.(*os.File)
	return f, ok
}

// stage tells what is there already, when that is known.
func (g *gauge) stage(s transfer.State, now time.Time) {
	if s.Stage == transfer.Verifying && g.said < transfer.Verifying {
		g.app.say("Verifying what is there already.")
	}
	if s.Stage <= transfer.Asking && g.asking != "" && !now.Before(g.quietBy) {
		g.quietBy = now.Add(3 * repeat)
		g.app.say("%s", g.asking)
		if g.app.json {
			emit(g.app.err, waitingEvent{"waiting", milliseconds(now.Sub(g.since)), g.asking})
		}
	}
	if s.Stage >= transfer.Moving && g.begun.IsZero() {
		g.begun, g.from = now, s.Bytes
	}
	if s.Here > 0 && !g.resumed && s.Count == 1 {
		g.resumed = true
		g.app.say("%s", resuming(s))
	}
	g.said = max(g.said, s.Stage)
}

func resuming(s transfer.State) string {
	return fmt.Sprintf("Resuming %q: %d%% already here, verified.", s.Name, percent(s.Here, s.Size))
}

func percent(part, whole int64) int64 {
	if whole == 0 {
		return 100
	}
	return int64(float64(part) * 100 / float64(whole))
}

func (g *gauge) show(s transfer.State, now time.Time) {
	rate := 0.0
	if d := now.Sub(g.begun).Seconds(); d > 0 {
		rate = float64(s.Bytes-s.Here-max(0, g.from-s.Here)) / d
	}
	if g.app.json {
		emit(g.app.err, progressEvent{"progress", s.Name, s.Bytes, s.Size, s.Here, s.Files, s.Count, int64(rate)})
		return
	}
	text := fmt.Sprintf("%d%%, %s of %s", percent(s.Bytes, s.Size), amount(s.Bytes), amount(s.Size))
	if s.Count > 1 {
		text += fmt.Sprintf(", file %d of %d", min(s.Files+1, s.Count), s.Count)
	}
	if rate > 0 {
		left := time.Duration(float64(s.Size-s.Bytes) / rate * float64(time.Second)).Round(time.Second)
		text += fmt.Sprintf(", %s/s, %v left", amount(int64(rate)), left)
	}
	if g.terminal == 0 {
		g.app.say("%s", text)
		return
	}
	if room := g.terminal - len(text) - 5; room >= 10 {
		room = min(room, 40)
		full := int(float64(room) * float64(percent(s.Bytes, s.Size)) / 100)
		text = "[" + strings.Repeat("#", full) + strings.Repeat(".", room-full) + "] " + text
	}
	if len(text) >= g.terminal {
		text = text[:g.terminal-1]
	}
	fmt.Fprintf(g.app.err, "\r\x1b[K%s", text)
	g.drawn = true
}

// last clears the line, for what is said at the end.
func (g *gauge) last() {
	if g.drawn {
		fmt.Fprint(g.app.err, "\r\x1b[K")
	}
}

// progressEvent is how far a transfer is, in bytes and files; rate is in bytes a
// second.
type progressEvent struct {
	Event string `json:"event"`
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	Size  int64  `json:"size"`
	Here  int64  `json:"here"`
	Files int    `json:"files"`
	Count int    `json:"count"`
	Rate  int64  `json:"rate"`
}

// amount gives a number of bytes as people read it.
func amount(n int64) string {
	switch {
	case n < 1e3:
		return plural(n, "byte")
	case n < 1e6:
		return trimmed(float64(n)/1e3) + " kB"
	case n < 1e9:
		return trimmed(float64(n)/1e6) + " MB"
	}
	return trimmed(float64(n)/1e9) + " GB"
}

// trimmed has one digit after the point, where there are fewer than three before.
func trimmed(x float64) string {
	if x >= 99.95 {
		return fmt.Sprintf("%.0f", x)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0")
}
