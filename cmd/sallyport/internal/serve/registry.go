package serve

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"github.com/sallyport-net/sallyport/node/nickname"
	"github.com/sallyport-net/sallyport/node/nickname/registry"
)

// startRegistry starts the registry, if there is to be one.
func startRegistry(s *Server) (*service, error) {
	cfg := s.cfg.Registry
	if cfg.File == "" {
		return nil, nil
	}
	g, err := registry.Open(registry.Config{Path: cfg.File, Logger: s.log.With("service", "registry")})
	if err != nil {
		return nil, failed(err, "try another file with --registry", "the registry can't be opened: %s", inWords(err))
	}
	l, err := s.sockets.Open("tcp", netip.AddrPortFrom(s.hosts[0], cfg.Port).String())
	if err != nil {
		_ = g.Close()
		return nil, cannotListen(err, "the registry", "try another port with --registry-port, or another --listen")
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = g.Serve(ctx, l) })
	at := net.JoinHostPort(s.names[0], strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	s.places.Registry = nickname.Registry{URL: "http://" + at, Key: g.Key()}.String()
	return &service{
		stop:  cancel,
		idle:  func() bool { return true },
		close: func() { cancel(); running.Wait(); _ = g.Close() },
		metrics: func() []metric {
			return []metric{{"sallyport_registry_names", "Nicknames that are taken.", float64(g.Names())}}
		},
	}, nil
}
