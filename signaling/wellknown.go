package signaling

import (
	"fmt"
	"slices"

	"github.com/sallyport-net/sallyport/address"
)

// Operator is one entry of the well-known list: a broker that takes anyone, by
// all the ways into it. Two nodes that came in by different ways still meet.
type Operator struct {
	Name string
	// Endpoints are tried in this order: TLS, then WebSocket over TLS, which
	// passes most firewalls, then both in clear. Signals are sealed anyway;
	// TLS hides who signals to whom from those on the way.
	Endpoints []string
	Since     int // the generation in which it came
	Until     int // the last generation that uses it; 0 if it is in use
}

// Generation is the present generation of the list. It goes up by one when
// entries are added or retired. A node listens on its brokers of this
// generation and of the one before, so that it meets nodes of either.
const Generation = 1

// wellKnown is append-only: an entry's index stands in addresses for ever. An
// entry that is gone is retired by Until, and a changed endpoint is changed in
// its place.
var wellKnown = []Operator{
	{Name: "HiveMQ", Since: 1, Endpoints: []string{
		"mqtts://broker.hivemq.com:8883",
		"wss://broker.hivemq.com:8884/mqtt",
		"mqtt://broker.hivemq.com:1883",
		"ws://broker.hivemq.com:8000/mqtt",
	}},
	{Name: "Eclipse Mosquitto", Since: 1, Endpoints: []string{
		"mqtts://test.mosquitto.org:8886", // 8883 has a certificate of their own
		"wss://test.mosquitto.org:8081/mqtt",
		"mqtt://test.mosquitto.org:1883",
		"ws://test.mosquitto.org:8080/mqtt",
	}},
	{Name: "EMQX", Since: 1, Endpoints: []string{
		"mqtts://broker.emqx.io:8883",
		"wss://broker.emqx.io:8084/mqtt",
		"mqtt://broker.emqx.io:1883",
		"ws://broker.emqx.io:8083/mqtt",
	}},
	{Name: "Eclipse IoT", Since: 1, Endpoints: []string{
		"mqtts://mqtt.eclipseprojects.io:8883",
		"wss://mqtt.eclipseprojects.io:443/mqtt",
		"mqtt://mqtt.eclipseprojects.io:1883",
		"ws://mqtt.eclipseprojects.io:80/mqtt",
	}},
	{Name: "Bevywise", Since: 1, Endpoints: []string{
		"mqtts://public-mqtt-broker.bevywise.com:8883",
		"mqtt://public-mqtt-broker.bevywise.com:1883",
	}},
}

// WellKnown gives a copy of the list; the place of an entry is its index.
func WellKnown() []Operator {
	list := slices.Clone(wellKnown)
	for n := range list {
		list[n].Endpoints = slices.Clone(list[n].Endpoints)
	}
	return list
}

// Endpoints gives the URLs of b in the order in which they are to be tried: its
// own one, or those of its entry in the list. It fails where b is no broker, or
// one that a newer version knows.
func Endpoints(b address.Broker) ([]string, error) {
	if err := b.Validate(); err != nil {
		return nil, err
	}
	if b.URL != "" {
		return []string{b.URL}, nil
	}
	if b.Index >= len(wellKnown) {
		return nil, fmt.Errorf("broker %d is not in the list, which has %d; a newer version may know it", b.Index, len(wellKnown))
	}
	return slices.Clone(wellKnown[b.Index].Endpoints), nil
}
