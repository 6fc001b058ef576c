package main

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"github.com/spf13/pflag"

	"github.com/sallyport-net/sallyport/node/nickname"
	"github.com/sallyport-net/sallyport/node/nickname/registry"
)

// registryFlags are those of serve that concern its registry of nicknames.
type registryFlags struct {
	file string
	port uint16
}

func (f *registryFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.file, "registry", "", "`FILE` of a registry of nicknames, made if missing (default: no registry)")
	fs.Uint16Var(&f.port, "registry-port", 3481, "TCP port `N` of the registry; 0 means any")
}

// startRegistry starts the registry, if there is to be one.
func startRegistry(s *servers) (*service, error) {
	f := s.flags.registry
	if f.file == "" {
		return nil, nil
	}
	g, err := registry.Open(registry.Config{Path: f.file, Logger: s.log.With("service", "registry")})
	if err != nil {
		return nil, failed(err, "try another file with --registry", "%v", err)
	}
	l, err := s.sockets.Open("tcp", netip.AddrPortFrom(s.hosts[0], f.port).String())
	if err != nil {
		_ = g.Close()
		return nil, failed(err, "try another --registry-port", "the registry can't listen: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = g.Serve(ctx, l) })
	at := net.JoinHostPort(s.names[0], strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	s.ready.Registry = nickname.Registry{URL: "http://" + at, Key: g.Key()}.String()
	return &service{
		stop:  cancel,
		idle:  func() bool { return true },
		close: func() { cancel(); running.Wait(); _ = g.Close() },
		metrics: func() []metric {
			return []metric{{"sallyport_registry_names", "Nicknames that are taken.", float64(g.Names())}}
		},
	}, nil
}
