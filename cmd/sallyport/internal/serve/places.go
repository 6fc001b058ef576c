package serve

import "strings"

// Places are what others need to know of a Server, as its command tells it in
// JSON.
type Places struct {
	Brokers []string `json:"brokers"` // URLs: TCP, and then those with TLS and over WebSocket
	STUN    []string `json:"stun"`
	Flags   string   `json:"flags"` // what to paste behind sallyport node
	TURN    string   `json:"turn,omitempty"`
	Metrics string   `json:"metrics,omitempty"`
	// Registry is what others give as --registry.
	Registry string `json:"registry,omitempty"`
}

// forOthers gives the flags. Where the broker has TLS they name that way, which
// nobody can listen in on; it is the second of broker.URLs.
func (p Places) forOthers(tls bool) string {
	best := p.Brokers[0]
	if tls {
		best = p.Brokers[1]
	}
	words := []string{"--broker", best}
	for _, at := range p.STUN {
		words = append(words, "--stun", at)
	}
	if p.TURN != "" {
		words = append(words, "--turn", p.TURN)
	}
	if p.Registry != "" {
		words = append(words, "--registry", p.Registry)
	}
	return strings.Join(words, " ")
}
