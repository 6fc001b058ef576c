package registry

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/node/nickname"
)

// Serve answers requests on l until ctx is done, and returns when all that it
// began has ended. It closes l.
func (g *Registry) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           g,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second,
		WriteTimeout: 10 * time.Second, IdleTimeout: 5 * time.Second,
		MaxHeaderBytes: 8 << 10,
		ErrorLog:       slog.NewLogLogger(g.cfg.Logger.Handler(), slog.LevelDebug),
	}
	server.SetKeepAlivesEnabled(false)
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer all.Wait()
	defer cancel()
	all.Go(func() {
		<-ctx.Done()
		soon, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(soon) != nil {
			_ = server.Close()
		}
	})
	all.Go(func() {
		tick := time.NewTicker(sweepEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if err := g.sweep(); err != nil {
					g.cfg.Logger.Error("registry not swept", "error", err)
				}
			case <-ctx.Done():
				return
			}
		}
	})
	err := server.Serve(limited{l, &places{from: make(map[string]int)}, func(remote string) string {
		from, _ := g.origin(remote)
		return from
	}})
	if ctx.Err() != nil && errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// ServeHTTP answers one request.
func (g *Registry) ServeHTTP(w http.ResponseWriter, h *http.Request) {
	if h.URL.Path != nickname.RegistryPath {
		http.NotFound(w, h)
		return
	}
	if h.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "POST only", http.StatusMethodNotAllowed)
		return
	}
	from, limit := g.origin(h.RemoteAddr)
	if !g.allow(from, 1) {
		http.Error(w, "too many requests", http.StatusTooManyRequests)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, h.Body, nickname.MaxMessage))
	if err != nil {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	q, name, record, err := nickname.DecodeRequest(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var p nickname.Reply
	if len(q.Record) == 0 {
		p, err = g.look(name)
	} else if !g.allow(from, storeCosts-1) {
		http.Error(w, "too many requests", http.StatusTooManyRequests)
		return
	} else {
		p, err = g.store(record, from, limit)
	}
	if err == nil {
		p.Nonce, p.Name, p.Time = q.Nonce, name.String(), g.cfg.Now().Unix()
		var signature string
		if body, signature, err = p.Seal(g.key); err == nil {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set(nickname.SignatureHeader, signature)
			_, _ = w.Write(body)
			return
		}
	}
	g.cfg.Logger.Error("registry", "name", name.String(), "error", err)
	http.Error(w, "the registry is broken", http.StatusInternalServerError)
}

// limited turns connections away above a number, in all and of one address.
type limited struct {
	net.Listener
	places *places
	origin func(remote string) string
}

type limitedConn struct {
	net.Conn
	leave func()
}

// Accept closes what comes while there is no place.
func (l limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if leave, ok := l.places.enter(l.origin(c.RemoteAddr().String())); ok {
			return &limitedConn{c, leave}, nil
		}
		_ = c.Close()
	}
}

// Close gives the place back.
func (c *limitedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// places are those of connections.
type places struct {
	mu    sync.Mutex
	taken int
	from  map[string]int // of them, by origin
}

// enter takes a place; leave gives it back.
func (p *places) enter(from string) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= maxParallel || p.from[from] >= maxParallelEach {
		return nil, false
	}
	p.taken++
	p.from[from]++
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.taken--
		if p.from[from]--; p.from[from] == 0 {
			delete(p.from, from)
		}
	}), true
}
