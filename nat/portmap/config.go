package portmap

import (
	"cmp"
	"crypto/rand"
	"log/slog"
	"net/netip"
	"time"
)

// Config says what to map.
type Config struct {
	// Local and Port are the TCP endpoint that strangers shall reach. Both are
	// required, but for Discover, which needs no port; Local is an address of
	// this machine.
	Local netip.Addr
	Port  uint16
	// Gateway is the router to ask. Zero means the one that the default route
	// of Local's interface leads to; outside Linux, the first address of its
	// network. It must be private or link-local.
	Gateway netip.Addr
	// Protocols narrows what is tried. Nil means all.
	Protocols []Protocol
	// Lifetime is what is asked for; the mapping is renewed after half of what
	// was granted. 0 means an hour; less than 2 s is 2 s.
	Lifetime time.Duration
	// Check is how often the router is asked whether it still has the mapping,
	// which it loses by a restart. 0 means a minute.
	Check time.Duration
	// OnChange is told every external endpoint, the first before Open returns,
	// and the zero value when the mapping is lost. It must be brief and must
	// not call Close.
	OnChange func(external netip.AddrPort)
	// Logger gets events. Nil means silence.
	Logger *slog.Logger

	mapping, search uint16        // ports of the protocols; 0 means theirs
	anyGateway      bool          // a test's, on loopback
	discovery       time.Duration // 0 means the constant of that name
	request         time.Duration // and this
	searched        bool          // Gateway was zero, and found out
	nonce           nonce         // of PCP: the same for as long as the mapping is wanted (RFC 6887 §11.2)
}

func (c *Config) fill() (err error) {
	if !c.Gateway.IsValid() {
		if c.Gateway, err = gatewayOf(c.Local); err != nil {
			return err
		}
		c.searched = true
	} else if err := checkGateway(c.Local, c.Gateway); err != nil && !c.anyGateway {
		return err
	}
	_, _ = rand.Read(c.nonce[:])
	if c.Protocols == nil {
		c.Protocols = Protocols()
	}
	if c.Lifetime <= 0 {
		c.Lifetime = time.Hour
	}
	c.Lifetime = min(max(c.Lifetime, 2*time.Second), maxLife)
	if c.Check <= 0 {
		c.Check = time.Minute
	}
	c.discovery, c.request = cmp.Or(c.discovery, discovery), cmp.Or(c.request, request)
	if c.mapping == 0 {
		c.mapping = mappingPort
	}
	if c.search == 0 {
		c.search = searchPort
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}
