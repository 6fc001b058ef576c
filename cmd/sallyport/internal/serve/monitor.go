package serve

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// metric is one line for Prometheus.
type metric struct {
	name  string // a counter's ends in _total
	help  string
	value float64
}

// monitor answers /metrics, /healthz and /readyz, on loopback only.
type monitor struct {
	http    *http.Server
	at      net.Addr
	closing atomic.Bool
	ended   chan struct{}
}

// startMonitor listens on a loopback address.
func startMonitor(address string, metrics func() []metric) (*monitor, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().IsLoopback() {
		return nil, misused("try --metrics 127.0.0.1:9478", "--metrics %q is no port of a loopback address: what it tells is not for everybody", address)
	}
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return nil, cannotListen(err, "the monitor", "try another port with --metrics")
	}
	m := &monitor{at: l.Addr(), ended: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if m.closing.Load() {
			http.Error(w, "closing", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write(exposition(append(metrics(), processMetrics()...)))
	})
	m.http = &http.Server{
		Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 8 << 10, ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() {
		defer close(m.ended)
		_ = m.http.Serve(l)
	}()
	return m, nil
}

func (m *monitor) close() {
	_ = m.http.Close()
	<-m.ended
}

// exposition is Prometheus' text format, version 0.0.4. Names and help texts
// are ours, so that there is nothing to escape.
func exposition(metrics []metric) []byte {
	var b bytes.Buffer
	for _, m := range metrics {
		kind := "gauge"
		if strings.HasSuffix(m.name, "_total") {
			kind = "counter"
		}
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n%s %s\n", m.name, m.help, m.name, kind, m.name, strconv.FormatFloat(m.value, 'g', -1, 64))
	}
	return b.Bytes()
}

var begun = time.Now()

func processMetrics() []metric {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return []metric{
		{"process_start_time_seconds", "When this process began, in seconds since 1970.", float64(begun.Unix())},
		{"go_goroutines", "Goroutines that exist now.", float64(runtime.NumGoroutine())},
		{"go_memstats_heap_inuse_bytes", "Bytes of the heap in use.", float64(memory.HeapInuse)},
		{"go_memstats_sys_bytes", "Bytes taken from the system.", float64(memory.Sys)},
	}
}
