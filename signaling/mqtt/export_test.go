package mqtt

import "time"

// WithGoodbye is c whose connections get that long to send their DISCONNECT.
func WithGoodbye(c Config, d time.Duration) Config {
	c.goodbye = d
	return c
}
