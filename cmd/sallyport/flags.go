package main

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/relay"
)

// nodeFlags are the flags of every command that starts a node, as they were
// given. The configuration file has keys of the same names.
type nodeFlags struct {
	key        string
	brokers    []string
	stun       []string
	turn       []string
	relays     []string
	registries []string
	interfaces []string
	port       uint16
	portMap    bool
	noLAN      bool
	strategies []string
	timeout    time.Duration
	config     string

	portAsked bool // --port was on the command line, not in the file
	ownNode   bool // so was something that says how the node is to be

	as address.PrivateKey // what takes the place of the key in the file, if not zero
}

// nodeOnly are the flags of the node command and of up that a configuration file may hold
// as well, while other commands read it.
var nodeOnly = []string{"echo", "forward", "exec", "allow-forward", "allow-listen", "allow", "birthday", "relay-for", "relay-rate", "listen"}

// ofNodes are the flags that say how a node is: with one of them, a command starts
// a node of its own, whether or not one runs in the background.
var ofNodes = []string{"key", "broker", "stun", "turn", "relay", "interface", "port", "portmap", "no-lan", "strategies", "config"}

func (f *nodeFlags) register(a *app, c *cobra.Command) {
	fs := c.Flags()
	fs.StringVar(&f.key, "key", "", "`FILE` with this node's key, made if missing (default: key in the user's configuration directory)")
	fs.StringSliceVar(&f.brokers, "broker", nil, "signalling broker: a `URL` (tcp, mqtts, ws, wss) or a number in the well-known list; repeatable (default: the public ones that follow from the key)")
	fs.StringSliceVar(&f.stun, "stun", nil, "STUN server as `HOST:PORT`; repeatable (default: public ones)")
	fs.StringSliceVar(&f.turn, "turn", nil, "relay of last resort as a `URL` (turn:SECRET@HOST:PORT or turn:USER:PASSWORD@HOST:PORT, percent-encoded; turns: for TLS), for calls of and to this node; repeatable, best first (default: none)")
	fs.StringArrayVar(&f.relays, "relay", nil, "node that relays where nothing else works, as a `TARGET` (an address, an id, a nickname or a contact), for calls of and to this node; it runs with --relay-for; up to three times, best first (default: none)")
	fs.StringSliceVar(&f.registries, "registry", nil, "registry of nicknames as a `URL` (http://HOST:PORT#KEY, for .peer) or SUFFIX=URL; repeatable (default: none)")
	fs.StringSliceVar(&f.interfaces, "interface", nil, "network interface to use, by `NAME`; repeatable, best first (default: all that lead somewhere)")
	fs.Uint16Var(&f.port, "port", 0, "TCP port `N` to listen on and to punch from (default: any)")
	fs.BoolVar(&f.portMap, "portmap", false, "ask the router (by PCP, NAT-PMP or UPnP) to forward the port while this runs")
	fs.BoolVar(&f.noLAN, "no-lan", false, "neither look for peers on the local networks by multicast nor be found there")
	fs.StringSliceVar(&f.strategies, "strategies", nil, "ways to connect, as a `LIST` out of "+strategyNames()+" (default: all)")
	fs.DurationVar(&f.timeout, "timeout", 30*time.Second, "give up connecting after `D`")
	fs.StringVar(&f.config, "config", "", "TOML `FILE` with keys named as these flags (default: config.toml in the user's configuration directory, if there is one)")
	fs.BoolVar(&a.json, "json", false, "one JSON object per line")
	fs.BoolVarP(&a.verbose, "verbose", "v", false, "narrate what happens, and show the causes of errors")
}

// settle reads the configuration file, where flags leave room for it, and
// checks what can be checked without a network.
func (f *nodeFlags) settle(a *app, c *cobra.Command) error {
	f.portAsked = c.Flags().Changed("port")
	f.ownNode = slices.ContainsFunc(ofNodes, c.Flags().Changed)
	if err := readConfig(f.config, "node", c.Flags(), nodeOnly); err != nil {
		return err
	}
	return f.check()
}

func (f *nodeFlags) check() error {
	if f.timeout <= 0 {
		return misused("try --timeout 30s", "a timeout of %v leaves no time", f.timeout)
	}
	strategies, err := f.parseStrategies()
	if err != nil {
		return err
	}
	if f.noLAN && slices.Equal(strategies, []node.Strategy{node.LAN}) {
		return misused("try it without --no-lan", "with --strategies lan and --no-lan there is no way left to connect")
	}
	if _, err := f.parseBrokers(); err != nil {
		return err
	}
	for _, s := range f.stun {
		if err := checkHostPort(s); err != nil {
			return misused("try --stun stun.example.org:3478", "--stun %q: %v", s, err)
		}
	}
	if _, err := f.parseRegistries(); err != nil {
		return err
	}
	if err := f.checkRelays(); err != nil {
		return err
	}
	_, err = f.parseRelays()
	return err
}

func (f *nodeFlags) parseBrokers() ([]address.Broker, error) {
	if len(f.brokers) > address.MaxBrokers {
		return nil, misused("leave some --broker out", "%d brokers are named, of %d at most", len(f.brokers), address.MaxBrokers)
	}
	var list []address.Broker
	for _, s := range f.brokers {
		b, err := address.ParseBroker(s)
		if err != nil {
			return nil, misused("try --broker tcp://HOST:1883", "%v", err)
		}
		list = append(list, b)
	}
	return list, nil
}

// parseRelays never repeats what was given, which may hold a secret.
func (f *nodeFlags) parseRelays() ([]relay.Place, error) {
	var list []relay.Place
	for n, text := range f.turn {
		p, err := relay.ParseURL(text)
		if err != nil {
			return nil, misused("try --turn turn:SECRET@relay.example.org:3480", "--turn, number %d: %v", n+1, err)
		}
		list = append(list, p)
	}
	return list, nil
}

func (f *nodeFlags) parseStrategies() ([]node.Strategy, error) {
	var list []node.Strategy
	for _, name := range f.strategies {
		s := node.Strategy(strings.ToLower(strings.TrimSpace(name)))
		switch {
		case slices.Contains(node.Strategies(), s):
			list = append(list, s)
		default:
			return nil, misused("try --strategies "+strategyNames(), "there is no strategy %q", name)
		}
	}
	return list, nil
}

func strategyNames() string {
	var names []string
	for _, s := range node.Strategies() {
		names = append(names, string(s))
	}
	return strings.Join(names, ",")
}

// checkHostPort wants a host and a port from 1 to 65535.
func checkHostPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return fmt.Errorf("expected HOST:PORT")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %q is not 1 to 65535", port)
	}
	return nil
}
