package nickname

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// askTimeout bounds one question to one registry.
const askTimeout = 5 * time.Second

// Registries ask the registries of each suffix, all at once.
type Registries struct {
	// Of are the registries of a suffix; an answer of any is enough, and all
	// get what is stored.
	Of     map[string][]Registry
	Client *http.Client     // default: one that follows no redirects
	Now    func() time.Time // default time.Now
}

// Fetch asks for a name.
func (r Registries) Fetch(ctx context.Context, name Name) []Answer {
	return r.each(ctx, name, nil)
}

// Store hands a record to all registries of its suffix. Each answer has the
// record that is kept there, or the error: a *RefusedError where it was refused.
func (r Registries) Store(ctx context.Context, record Record) []Answer {
	return r.each(ctx, record.Name, record.Bytes())
}

func (r Registries) each(ctx context.Context, name Name, record []byte) []Answer {
	list := r.Of[name.suffix]
	if len(list) == 0 {
		return []Answer{{Place: "." + name.suffix, Err: fmt.Errorf("%w for this suffix", ErrNoRegistry)}}
	}
	answers := make([]Answer, len(list))
	var asked sync.WaitGroup
	for n, place := range list {
		asked.Go(func() {
			kept, err := r.ask(ctx, place, NewRequest(name, record))
			answers[n] = Answer{place.URL, kept, err}
		})
	}
	asked.Wait()
	return answers
}

func (r Registries) ask(ctx context.Context, place Registry, q Request) (Record, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	body, err := json.Marshal(q)
	if err != nil {
		return Record{}, err
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, place.URL+RegistryPath, bytes.NewReader(body))
	if err != nil {
		return Record{}, err
	}
	post.Header.Set("Content-Type", "application/json")
	client := r.Client
	if client == nil {
		client = plainClient
	}
	answer, err := client.Do(post)
	if err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrNoAnswer, errors.Unwrap(err)) // without the URL, which is the place's
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, MaxMessage+1))
	if err != nil {
		return Record{}, fmt.Errorf("no whole answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return Record{}, fmt.Errorf("it answered with HTTP status %d", answer.StatusCode)
	}
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	p, kept, err := OpenReply(place.Key, q, now(), text, answer.Header.Get(SignatureHeader))
	if err != nil {
		return Record{}, err
	}
	switch p.Status {
	case Found, Absent, Stored:
		return kept, nil
	}
	return kept, &RefusedError{p.Status, printable(p.Reason)}
}

// printable is what a stranger's words become before a person sees them.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), 300)])
}

// plainClient goes where it is told, and nowhere else.
var plainClient = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ResponseHeaderTimeout: askTimeout, MaxResponseHeaderBytes: 16 << 10},
}
