//go:build unix

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/sallyport-net/sallyport/address"
)

// browser is a headless Chromium, and what went wrong in it.
type browser struct {
	mu       sync.Mutex
	problems []string
	asked    []string // URLs
}

func newBrowser(t *testing.T) (context.Context, *browser) {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("chromium is missing")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WindowSize(1040, 1000),
		chromedp.UserDataDir(browserHome(t)), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.WSURLReadTimeout(patience))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 5*patience)
	t.Cleanup(cancel)
	b := &browser{}
	b.watch(ctx)
	return ctx, b
}

// browserHome is a directory that is removed when the browser has let go of it:
// it writes there for a moment after its end.
func browserHome(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sallyport-page")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for end := time.Now().Add(patience); os.RemoveAll(dir) != nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("%s can't be removed", dir)
				return
			}
		}
	})
	return dir
}

// watch notes what a tab asks for, and what it complains of.
func (b *browser) watch(ctx context.Context) {
	chromedp.ListenTarget(ctx, func(e any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := e.(type) {
		case *network.EventRequestWillBeSent:
			b.asked = append(b.asked, e.Request.URL)
		case *runtime.EventExceptionThrown:
			b.problems = append(b.problems, e.ExceptionDetails.Error())
		case *cdplog.EventEntryAdded:
			b.problems = append(b.problems, e.Entry.Text+" "+e.Entry.URL)
		}
	})
}

// take gives what was noted since the last time.
func (b *browser) take() (problems, asked []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	problems, asked = b.problems, b.asked
	b.problems, b.asked = nil, nil
	return problems, asked
}

func (h *household) do(ctx context.Context, actions ...chromedp.Action) {
	h.t.Helper()
	if err := chromedp.Run(ctx, actions...); err != nil {
		var text string
		_ = chromedp.Run(ctx, chromedp.Evaluate("document.body?.innerText", &text))
		h.t.Fatalf("%v; the page says:\n%s", err, text)
	}
}

// until waits for a condition in the page.
func (h *household) until(ctx context.Context, condition string) {
	h.t.Helper()
	h.t.Log("waiting for", condition)
	h.do(ctx, chromedp.Poll(condition, nil, chromedp.WithPollingTimeout(patience), chromedp.WithPollingInterval(20*time.Millisecond)))
}

func TestPage(t *testing.T) {
	ctx, b := newBrowser(t)
	h := newHousehold(t)
	// A session that something goes through.
	pinging, cancel := context.WithCancel(context.Background())
	ping := h.command(pinging, "ping", "--count", "0", "--interval", "20ms", h.peer)
	if err := ping.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = ping.Wait() }()

	var compact, id, qr, hash, cookies, key string
	h.do(ctx, network.Enable(), cdplog.Enable(), chromedp.Navigate(h.up.Link), chromedp.WaitVisible("main"),
		chromedp.Text("#compact", &compact), chromedp.Text("#id", &id),
		chromedp.Evaluate("location.hash", &hash), chromedp.Evaluate("document.cookie", &cookies),
		chromedp.Evaluate("Object.keys(localStorage).join()", &key))
	if compact != h.up.Compact || id != h.up.ID {
		t.Errorf("the page shows %q and %q", compact, id)
	}
	if hash != "" || cookies != "" || key != "" {
		t.Errorf("left about: in the URL %q, for scripts %q, for other tabs %q", hash, cookies, key)
	}
	h.until(ctx, "document.querySelector('#qr path')?.getAttribute('d').startsWith('M0 0h7v1h-7z')")
	h.until(ctx, "document.querySelectorAll('#brokers li.up').length === 1")
	h.until(ctx, "document.querySelector('.place svg .road') !== null")
	h.until(ctx, "document.querySelector('#peers td.alive') !== null && document.querySelector('#peers .spark.up').points.length > 2")
	h.do(ctx, chromedp.AttributeValue("#qr path", "d", &qr, nil), chromedp.SetValue("#target", h.peer), chromedp.Click("#open button"))
	h.until(ctx, "document.querySelector('#opened').textContent.includes(' answers in ')")
	h.until(ctx, "document.querySelector('.call rect.bar.won') !== null && document.querySelectorAll('.call circle.dot').length > 2")

	// What was switched off did not fail, and how a lane ended is not told by its
	// colour alone.
	h.until(ctx, "[/^(direct|reverse|punch) ✓$/, /^lan –$/].every((r) => [...document.querySelectorAll('.call text')].some((t) => r.test(t.textContent))) && document.querySelector('.bar.failed[data-lane=lan]') === null")

	// A peer that can't be had.
	h.do(ctx, chromedp.SetValue("#target", "<img src=x onerror=alert(1)>"), chromedp.Click("#open button"))
	h.until(ctx, "document.querySelector('#opened').textContent.startsWith('address ')")

	h.unreached(ctx)

	problems, asked := b.take()
	for _, p := range problems {
		if !strings.Contains(p, "400 (Bad Request)") && !strings.Contains(p, "503 (Service Unavailable)") { // which was asked for
			t.Errorf("the page complains: %s", p)
		}
	}
	if len(asked) < 5 {
		t.Errorf("only %d requests were seen", len(asked))
	}
	for _, url := range asked {
		if !strings.HasPrefix(url, h.up.URL) {
			t.Errorf("the page asks for %s", url)
		}
	}

	// Light and dark.
	papers := map[string]bool{}
	for _, scheme := range []string{"light", "dark"} {
		var paper string
		var shot []byte
		h.do(ctx, chromedp.EvaluateAsDevTools("document.querySelector('#opened').textContent = ''; document.activeElement.blur(); document.querySelector('#target').value = ''", nil),
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
			chromedp.Evaluate("getComputedStyle(document.body).backgroundColor", &paper), chromedp.FullScreenshot(&shot, 100))
		papers[paper] = true
		if dir := os.Getenv("SALLYPORT_SCREENSHOTS"); dir != "" { // to bring docs/ up to date
			if err := os.WriteFile(filepath.Join(dir, "page-"+scheme+".png"), shot, 0o644); err != nil {
				t.Error(err)
			}
		}
	}
	if len(papers) != 2 {
		t.Errorf("light and dark are alike: %v", papers)
	}

	h.durations(ctx)
	h.pictures(ctx)
	h.phone(ctx)
	h.reload(ctx)
	h.attack(ctx, b)
}

// unreached checks that of a call which leads nowhere the one cause is told, and
// all of it to whoever asks.
func (h *household) unreached(ctx context.Context) {
	h.t.Helper()
	key, err := address.GenerateKey()
	if err != nil {
		h.t.Fatal(err)
	}
	nowhere := address.Address{Key: key.Public(), Brokers: []address.Broker{{URL: "tcp://127.0.0.1:1"}}}
	h.do(ctx, chromedp.SetValue("#target", nowhere.String()), chromedp.Click("#open button"))
	h.until(ctx, "document.querySelector('.call .how.bad') !== null")
	var how, steps, chain string
	h.do(ctx, chromedp.Text(".call .how.bad", &how),
		chromedp.Evaluate(`(() => {
			const list = document.querySelector(".call .how.bad").closest(".call").querySelector("ol").cloneNode(true);
			const chains = [...list.querySelectorAll(".chain")];
			window.chain = chains.map((c) => c.textContent).join("|");
			chains.forEach((c) => c.remove());
			return [...list.children].map((l) => l.textContent).join("|");
		})()`, &steps), chromedp.Evaluate("window.chain", &chain))
	if !strings.HasSuffix(how, ": no broker is open") || !strings.Contains(steps, "no broker of the peer reached: no broker is open|") || strings.Contains(how+steps, "127.0.0.1:1:") {
		h.t.Errorf("%q after %q", how, steps)
	}
	if !strings.Contains(chain, "in fullno broker is open: tcp://127.0.0.1:1: connection refused") {
		h.t.Errorf("in full it is %q", chain)
	}
}

// durations checks how they are written.
func (h *household) durations(ctx context.Context) {
	h.t.Helper()
	var got string
	h.do(ctx, chromedp.Evaluate(`(async () => { const { ms } = await import("/draw.js"); return [0, 0.25, 9.97, 10.2, 999.4, 999.5, 1000, 6001, 61000].map(ms).join(", "); })()`,
		&got, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	if want := "–, 0.3 ms, 10 ms, 10 ms, 999 ms, 1.0 s, 1.0 s, 6.0 s, 61.0 s"; got != want {
		h.t.Errorf("durations are written %q, not %q", got, want)
	}
}

// pictures checks what is drawn of each kind of NAT.
func (h *household) pictures(ctx context.Context) {
	h.t.Helper()
	for code, want := range map[int]string{ // walls, roads that are shut, and a word
		1: "0 0 own address", 2: "1 2 own address", 3: "1 0 one port for all peers", 5: "1 2 one port for all peers", 6: "1 2 next port: independent +2", 7: "1 4 blocked",
	} {
		mapping := "endpoint-independent"
		if code == 6 {
			mapping = "address- and port-dependent"
		}
		var got, stops string
		h.do(ctx, chromedp.Evaluate(fmt.Sprintf(`(async () => {
			const { picture } = await import("/nat.js");
			const f = { answered: 1, asked: 1, mapping: %q };
			const g = picture({ type_code: %d, tcp: f, udp: f, local: "10.0.0.2", external: "203.0.113.7", delta: { kind: "independent", value: 2 }, levels: 1, refusal: "dropped", about: "" });
			return [g.querySelectorAll(".wall").length, g.querySelectorAll(".road.shut").length, [...g.querySelectorAll("text.soft")].map((t) => t.textContent).find((s) => /port|address|blocked/.test(s) && !/sees|known/.test(s))].join(" ");
		})()`, mapping, code), &got, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
		if got != want {
			h.t.Errorf("a NAT of type %d is drawn as %q, not %q", code, got, want)
		}
		// What does not get through ends at the outermost wall, however many
		// there are, and in both layouts.
		h.do(ctx, chromedp.Evaluate(fmt.Sprintf(`(async () => {
			const { picture } = await import("/nat.js");
			const f = { answered: 1, asked: 1, mapping: %q }, out = [];
			for (const narrow of [false, true]) for (const levels of [1, 2, 3]) {
				const g = picture({ type_code: %d, tcp: f, udp: f, local: "10.0.0.2", external: "203.0.113.7", delta: { kind: "independent", value: 2 }, levels, refusal: "dropped", about: "" }, narrow);
				const [, from] = narrow ? ["x", "y"] : ["y", "x"], thick = narrow ? "height" : "width";
				const walls = [...g.querySelectorAll(".wall")].map((w) => [Number(w.getAttribute(from)), Number(w.getAttribute(from)) + Number(w.getAttribute(thick))]);
				for (const road of g.querySelectorAll(".road.shut:not([d*=m])")) { // but for the crosses
					const n = road.getAttribute("d").match(/-?[0-9.]+/g).map(Number), end = narrow ? n[3] : n[2];
					const gaps = walls.flatMap(([a, b]) => [Math.abs(a - end), Math.abs(b - end)]);
					if (Math.min(...gaps) > 15 || walls.some(([a, b]) => end > a && end < b)) out.push(narrow + " " + levels + ": " + end);
				}
			}
			return out.join(", ");
		})()`, mapping, code), &stops, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
		if stops != "" {
			h.t.Errorf("of a NAT of type %d, what is shut does not end at a wall: %s", code, stops)
		}
	}
}

// phone checks that the pictures fit a narrow screen, and that what is open and
// has the focus stays so when they are drawn anew.
func (h *household) phone(ctx context.Context) {
	h.t.Helper()
	h.do(ctx, chromedp.Evaluate("(() => { const s = document.querySelector('.call summary'); s.focus(); s.click(); })()", nil),
		emulation.SetDeviceMetricsOverride(390, 900, 1, true))
	h.until(ctx, "document.querySelector('.place svg')?.getAttribute('viewBox') === '0 0 360 300'")
	for _, what := range []string{".place svg", ".call svg"} {
		var fits bool
		h.do(ctx, chromedp.Evaluate(fmt.Sprintf("[...document.querySelectorAll(%q)].every((s) => s.getBoundingClientRect().right <= innerWidth)", what), &fits))
		if !fits {
			h.t.Errorf("%s is wider than a phone", what)
		}
	}
	h.until(ctx, "document.querySelector('#peers td.alive') !== null")
	var wide, heads string
	h.do(ctx, chromedp.Evaluate(`[document.documentElement, ...document.querySelectorAll("section, #peers td")].filter((e) => e.scrollWidth > e.clientWidth || e.getBoundingClientRect().right > innerWidth).map((e) => (e.querySelector("h2") ?? e).textContent.slice(0, 40)).join()`, &wide),
		chromedp.Evaluate(`[...document.querySelectorAll("#peers tr[data-peer]:first-child td")].map((e) => getComputedStyle(e, "::before").content).join()`, &heads))
	if wide != "" {
		h.t.Errorf("on a phone one has to scroll sideways for %s", wide)
	}
	if heads != `"Peer","Path","Round trip","Sent","Received","Throughput"` {
		h.t.Errorf("on a phone the cells of a peer are called %s", heads)
	}
	var kept bool
	h.do(ctx, chromedp.Evaluate("document.activeElement === document.querySelector('.call summary') && document.activeElement.parentElement.open && document.querySelectorAll('.call details li').length > 2", &kept),
		emulation.ClearDeviceMetricsOverride())
	if !kept {
		h.t.Error("the steps of a call were shut, or lost the focus")
	}
	h.until(ctx, "document.querySelector('.place svg')?.getAttribute('viewBox') === '0 0 760 190'")
}

// reload checks that the tab stays in, and that the link lets nobody else in.
func (h *household) reload(ctx context.Context) {
	h.t.Helper()
	h.do(ctx, chromedp.Reload(), chromedp.WaitVisible("main"))
	other, cancel := chromedp.NewContext(ctx)
	defer cancel()
	h.do(other, chromedp.Navigate(h.up.Link))
	h.until(other, "document.querySelector('#state').textContent.startsWith('the link is used up or too old')")
	var hidden bool
	h.do(other, chromedp.Evaluate("document.querySelector('main').hidden", &hidden))
	if !hidden {
		h.t.Error("a link that is used up shows the node")
	}
}

// attack has a page of another origin on this machine, in the browser that is let
// in, try what it can.
func (h *household) attack(ctx context.Context, b *browser) {
	h.t.Helper()
	var sent atomic.Pointer[http.Header]
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/" {
			header := r.Header.Clone()
			sent.Store(&header)
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<title>evil</title>"))
	}))
	defer evil.Close()
	var got []string
	h.do(ctx, chromedp.Navigate(evil.URL+"/v1/"))
	// On a busy machine the page before is there for a moment longer.
	h.until(ctx, "document.title === 'evil'")
	h.do(ctx, chromedp.Evaluate(fmt.Sprintf(`(async () => {
		const url = %q, out = [];
		const attempt = async (name, f) => { try { out.push(name + ": " + await f()); } catch { out.push(name + ": refused"); } };
		await attempt("read", async () => (await fetch(url + "v1/status", { credentials: "include" })).status);
		await attempt("key", async () => (await fetch(url + "v1/status", { credentials: "include", headers: { "Sallyport-Key": "x" } })).status);
		await attempt("blind", async () => { const r = await fetch(url + "v1/tickets", { method: "POST", mode: "no-cors", credentials: "include" }); return r.type; });
		await attempt("script", () => new Promise((yes, no) => { const s = document.createElement("script"); s.src = url + "api.js"; s.type = "module"; s.onload = () => yes("loaded"); s.onerror = no; document.head.append(s); }));
		await attempt("socket", () => new Promise((yes, no) => { const w = new WebSocket(url.replace("http", "ws") + "v1/connections/c1/tunnel"); w.onopen = () => yes("open"); w.onerror = no; }));
		return out;
	})()`, h.up.URL), &got, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	want := "read: refused, key: refused, blind: refused, script: refused, socket: refused"
	if strings.Join(got, ", ") != want {
		h.t.Errorf("another origin gets %q, not %q", strings.Join(got, ", "), want)
	}
	// The jar is one for all ports: that is why the cookie alone opens nothing.
	if jar := sent.Load().Get("Cookie"); !strings.Contains(jar, "sallyport-") {
		h.t.Errorf("this browser does not send our cookie to other ports: %q; then the test shows nothing", jar)
	}
	b.take()
}
