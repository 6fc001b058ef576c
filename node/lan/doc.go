// Package lan finds a node on the local network by its key, without a broker
// and without the internet.
//
// Nobody announces anything. Whoever looks for a key multicasts a query that
// only the owner of that key can read; the owner, and nobody else, answers the
// sender alone, if it admits it. To all others on the network both are 1024
// bytes of noise: what they learn is that a host looks for some node, and
// whether some host has answered.
//
// # On the wire
//
// Both messages are UDP datagrams of exactly 1024 bytes, each a payload of
// package seal (signaling/seal): sealed for its recipient, signed by its sender,
// padded. So an answer is no larger than what asked for it. All datagrams
// leave with a TTL or hop limit of 255, and count only if they arrive with it:
// no router has touched them (RFC 5082).
//
// A query goes from an ephemeral port of the host's own address on the link to
// port 21233 of 239.255.83.80 or ff12::5350, once for each address. It is
// sealed for the key that is looked for. The body (offsets and lengths in
// bytes, integers big-endian):
//
//	 0   5  "lan1q"
//	 5  16  nonce
//	21   8  milliseconds since 1970, by the sender's clock
//	29  16  IP address that it is sent from, IPv4 as ::ffff:a.b.c.d
//	45   2  UDP port that it is sent from
//
// The answer goes back to that address and port, sealed for the sender of the
// query. The body:
//
//	 0   5  "lan1a"
//	 5  16  nonce of the query
//	21  16  IP address that it is sent from
//	37   2  TCP port on which the node listens there
//
// # What counts
//
// A query is answered if it came to the group with 255 hops left, from a
// neighbour (an address in a network of the interface that it came on; for IPv6
// a link-local one), which is the one that it names, from a port above 1023;
// if it has not been seen before; if the two clocks are at most twenty minutes
// apart; and if the node admits its sender. At most 20 a second and 50 at once
// of one address are decrypted, and 100 a second and 200 at once of all.
//
// An answer counts if it came with 255 hops left from a neighbour, which is the
// one that it names, if the node that is looked for has signed it, and while its
// query waits for it. The nonce makes it good for that query alone.
//
// Windows tells neither the hops left nor the interface: there the sender's
// address must do.
package lan
