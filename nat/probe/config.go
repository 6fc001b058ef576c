package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

const (
	// longest is how long a probe may take.
	longest = 4 * time.Second
	// mostServers and mostTCPServers are how many servers of one list are asked
	// at most, so that the budget of packets lasts to the end. mostNames is how
	// many are looked up, of which some may have no address of the right family.
	mostNames      = 16
	mostServers    = 6
	mostTCPServers = 5
)

// Config says whom to ask, and from where. The zero value asks a handful of
// public servers from the IPv4 address that leads to them, or else the IPv6 one.
type Config struct {
	// Servers are asked over UDP, TCPServers over TCP, each as "host:port"; of
	// those with an address of Local's family at most six and five count. Default (nil): DefaultServers and
	// DefaultTCPServers. An empty list that is not nil leaves the transport out.
	Servers, TCPServers []string
	// Local is the address to send from. Default: by route. An unspecified
	// address of a family means that family's, by route.
	Local netip.Addr
	// WarmPort is the local TCP port that the node's listener and its other
	// connections share. Default: a port of the probe's own, and Report.Warm
	// is then zero.
	WarmPort uint16
	// Control is called for every socket, as in net.Dialer, after the probe's
	// own options are set.
	Control func(network, address string, c syscall.RawConn) error
	// Resolver looks up host names. Default: net.DefaultResolver.
	Resolver Resolver
	// Progress gets the first report, within three round trips and one
	// timeout for a negative answer, and again whenever it has become better.
	// It is called from one goroutine at a time and not after Run returns.
	Progress func(nat.Report)
	// Timeout bounds the whole probe. Default and maximum: 4 s.
	Timeout time.Duration
	Logger  *slog.Logger // default: none
}

// control is what net.Dialer has under that name.
type control = func(network, address string, c syscall.RawConn) error

// Resolver looks up the addresses of a host; network is "ip4" or "ip6".
// *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

func (c Config) filled() Config {
	if c.Servers == nil {
		c.Servers = DefaultServers()
	}
	if c.TCPServers == nil {
		c.TCPServers = DefaultTCPServers()
	}
	c.Servers = c.Servers[:min(len(c.Servers), mostNames)]
	c.TCPServers = c.TCPServers[:min(len(c.TCPServers), mostNames)]
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	if c.Timeout <= 0 || c.Timeout > longest {
		c.Timeout = longest
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// ErrNoServer is what a probe fails with that nobody answered.
var ErrNoServer = errors.New("no STUN server answered")

// NoServerError tells what each server met. It is ErrNoServer.
type NoServerError struct {
	Local  netip.Addr
	Causes []error // one for each server that was asked
}

// Error gives one sentence and names the first causes.
func (e *NoServerError) Error() string {
	s := ErrNoServer.Error()
	if len(e.Causes) == 0 {
		return s + ": there was none to ask"
	}
	s += fmt.Sprintf(", of %d asked", len(e.Causes))
	if e.Local.IsValid() {
		s += fmt.Sprintf(" from %v", e.Local)
	}
	var shown []string
	for _, c := range e.Causes[:min(len(e.Causes), 3)] {
		shown = append(shown, c.Error())
	}
	if more := len(e.Causes) - len(shown); more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	return s + ": " + strings.Join(shown, "; ")
}

// Unwrap gives ErrNoServer and all causes.
func (e *NoServerError) Unwrap() []error { return append([]error{ErrNoServer}, e.Causes...) }

// Hint says what may help.
func (e *NoServerError) Hint() string {
	if len(e.Causes) == 0 {
		return "name a server with --stun HOST:PORT"
	}
	return "check that this machine is online; where a firewall lets only the web out, try --stun HOST:443 with a server that answers over TCP"
}
