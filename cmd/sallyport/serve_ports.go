package main

import (
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// leastPorts is how many ports --ports must have: those of the services, and a
// few for what is relayed.
const leastPorts = 8

// settlePorts deals the ports of --ports out, to those that were not given
// otherwise, and checks the limits.
func (f *serveFlags) settlePorts(flags *pflag.FlagSet) error {
	var wrong error
	flags.VisitAll(func(flag *pflag.Flag) {
		n, err := strconv.ParseFloat(flag.Value.String(), 64)
		if err == nil && n <= 0 && !strings.HasSuffix(flag.Name, "-port") && wrong == nil {
			wrong = misused("leave --"+flag.Name+" out for its default, "+flag.DefValue, "--%s must be more than 0", flag.Name)
		}
	})
	if wrong == nil && (f.Relay.MaxAge <= 0 || f.drain < 0) {
		wrong = misused("try --turn-age 24h and --drain 5s", "--turn-age and --drain can't be less than nothing")
	}
	if wrong != nil || f.ports == "" {
		return wrong
	}
	from, to, _ := strings.Cut(f.ports, "-")
	first, err := strconv.ParseUint(from, 10, 16)
	last, err2 := strconv.ParseUint(to, 10, 16)
	if err != nil || err2 != nil || first == 0 || last < first+leastPorts-1 {
		return misused("try --ports 3478-3733", "--ports %q is no range of at least %d ports", f.ports, leastPorts)
	}
	next := uint16(first)
	for _, one := range []struct {
		flag string
		port *uint16
	}{{"stun-port", &f.STUN.Port}, {"alternate-port", &f.STUN.AlternatePort}, {"turn-port", &f.Relay.Port}, {"mqtt-port", &f.Broker.Port}, {"mqtts-port", &f.Broker.TLSPort}} {
		if !flags.Changed(one.flag) {
			*one.port = next
		}
		next++
	}
	f.Relay.FirstPort, f.Relay.LastPort = next, uint16(last)
	return nil
}
