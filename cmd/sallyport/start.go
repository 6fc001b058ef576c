package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"

	"github.com/sallyport-net/sallyport/nat/errno"
	"github.com/sallyport-net/sallyport/node"
)

// nodeConfig makes the flags into what a node wants.
func (a *app) nodeConfig(ctx context.Context, f *nodeFlags) (cfg node.Config, err error) {
	if cfg.Now, err = wallClock(); err != nil {
		return cfg, err
	}
	if cfg.Brokers, err = f.parseBrokers(); err != nil {
		return cfg, err
	}
	if cfg.Strategies, err = f.parseStrategies(); err != nil {
		return cfg, err
	}
	if cfg.Relays, err = f.parseRelays(); err != nil {
		return cfg, err
	}
	if err = checkInterfaces(f.interfaces); err != nil {
		return cfg, err
	}
	if cfg.Key, err = a.identity(f); err != nil {
		return cfg, err
	}
	if cfg.RelayNodes, err = a.relayNodes(ctx, f); err != nil {
		return cfg, err
	}
	cfg.MachineID = a.loadMachineID()
	cfg.StateDir, _ = stateDir() // without one nothing is remembered
	cfg.STUN = f.stun
	cfg.Interfaces = f.interfaces
	cfg.Port = f.port
	cfg.PortMap = f.portMap
	cfg.NoLAN = f.noLAN
	cfg.Timeout = f.timeout
	cfg.Logger = slog.New(newNarrator(a))
	return cfg, nil
}

func checkInterfaces(names []string) error {
	for _, name := range names {
		if _, err := net.InterfaceByName(name); err != nil {
			return misused("try one of "+strings.Join(interfaceNames(), ", "), "there is no network interface %q", name)
		}
	}
	return nil
}

func interfaceNames() []string {
	var names []string
	list, _ := net.Interfaces()
	for _, i := range list {
		names = append(names, i.Name)
	}
	return names
}

// startNode starts a node. spare lets it take any other port where one from
// the configuration file is taken: a caller can do without, and a node in the
// same home has it.
func (a *app) startNode(ctx context.Context, cfg node.Config, spare bool) (*node.Node, error) {
	n, err := node.New(ctx, cfg)
	if errno.Is(err, syscall.EADDRINUSE) && spare && cfg.Port != 0 {
		cfg.Port = 0
		n, err = node.New(ctx, cfg)
	}
	var port *node.PortError
	switch {
	case err == nil:
		return n, nil
	case ctx.Err() != nil:
		return nil, err
	case errors.As(err, &port):
		return nil, failed(port.Err, port.Hint(), "%v", port)
	}
	return nil, failed(errors.Unwrap(err), "try it again with -v", "the node did not start: %v", err)
}

// warnHealth says what a node misses that has started all the same.
func (a *app) warnHealth(n *node.Node) {
	broker, stun := n.Health()
	switch {
	case broker != nil && stun != nil:
		a.say("Warning: no network: neither a signalling broker nor a STUN server answered; they are tried again. Until then only peers on this LAN can connect.")
	case broker != nil:
		a.say("Warning: no signalling broker answered; they are tried again. Until then peers can connect where they can dial this machine, and not through NATs.")
	case stun != nil:
		a.say("Warning: no STUN server answered, so that this node does not know its NAT. Peers may fail to connect.")
	}
	if a.verbose {
		for _, err := range []error{broker, stun} {
			if err != nil {
				a.say("cause: %v", err)
			}
		}
	}
}
