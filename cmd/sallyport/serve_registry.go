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

// namesServer is a running registry.
type namesServer struct {
	registry *registry.Registry
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// start opens the registry and serves it; the text is for others' --registry.
func (f *registryFlags) start(host netip.Addr, name string) (*namesServer, string, error) {
	g, err := registry.Open(registry.Config{Path: f.file})
	if err != nil {
		return nil, "", failed(err, "try another file with --registry", "%v", err)
	}
	l, err := net.Listen("tcp", netip.AddrPortFrom(host, f.port).String())
	if err != nil {
		_ = g.Close()
		return nil, "", failed(err, "try another --registry-port", "the registry can't listen: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &namesServer{registry: g, cancel: cancel}
	s.running.Go(func() { _ = g.Serve(ctx, l) })
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	at := nickname.Registry{URL: "http://" + net.JoinHostPort(name, port), Key: g.Key()}
	return s, at.String(), nil
}

func (s *namesServer) close() {
	s.cancel()
	s.running.Wait()
	_ = s.registry.Close()
}
