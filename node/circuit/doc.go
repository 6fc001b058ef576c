// Package circuit is what a node that relays and the two that meet over it say
// to each other on a stream of a session, and the work of passing on. A circuit
// is a stream from the caller to the relaying node, joined with one from there
// to the callee; the two speak TLS over it, so that whoever passes it on sees
// ciphertext.
//
// Whoever opens a stream for a circuit (package session) begins with
//
//	request = version (1) ‖ op (1) ‖ key (33) ‖ length (2) ‖ address (length)
//
// and the other end answers with
//
//	answer = version (1) ‖ status (1)
//
// Numbers are big-endian, the version is 1, a key is compressed, and an address
// is in the text form and that key's, at most 4096 bytes.
//
//	op  from → to               key              address
//	1   caller → relaying node  the callee's     the callee's, or none
//	2   relaying node → callee  the caller's     none
//	3   callee → relaying node  a caller's       none
//
// Op 1 asks to be led to the callee. Op 2 brings a caller. Op 3 announces a
// caller, for as long as its stream is open: the caller need not be known to the
// relaying node, as the callee is. After the answer Joined to op 1 or 2 the
// stream is the circuit; after any other answer it ends.
//
//	status  name
//	0       Joined
//	1       Refused      the relaying node does not relay for this node
//	2       Busy         its circuits are used up
//	3       Absent       it cannot lead there
//	4       Unsupported  a version or an op that it does not know
//
// docs/relay.md says who opens what when.
package circuit
