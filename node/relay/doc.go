// Package relay is the way of last resort: it carries a connection between two
// nodes that can't reach each other through a TURN server, as a TCP allocation
// (RFC 6062 over RFC 8656). It has both ends of that:
//
//   - Allocate, for a node: it reserves an endpoint on a TURN server, to which
//     the peer connects by plain TCP.
//   - Server, for sallyport serve: it relays for those who hold credentials,
//     within quotas, and never to private networks.
//
// A relay sees who connects to whom, when and how much, and otherwise
// ciphertext: the TLS of the link runs through it from end to end.
//
// Other TURN servers do as well, if they have TCP allocations: coturn does.
package relay
