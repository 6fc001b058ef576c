// Package nickname binds names to keys and addresses.
//
// A record says that a name belongs to a key, and by which address its node is
// called. It is signed by that key, has a sequence number, of which the greatest
// counts, and an expiry. There are two kinds of names, told apart by their form:
//
//	alice.peer         registered: kept by the registries of its suffix, first
//	                   come, first served (package registry is one)
//	alice.k3j5x7w2qd   self-certifying: what follows the dot is a slow hash of
//	                   label and key, so that it can belong to one key only. It is
//	                   kept as a retained message on the brokers
//
// Whatever the place says, a reader checks the signature, and remembers which
// key a name had when it was first looked up: see Known.
//
// # Record
//
// A record has at most MaxRecord bytes:
//
//	version     1  2; this layout
//	name        1  its length, then its canonical form
//	key        33  the compressed public key
//	sequence    8  big-endian, 1 to 2⁶²
//	issued      8  big-endian, seconds since 1970
//	expires     8  big-endian; later than issued, by seven days at most
//	address     2  big-endian length, then the address in its canonical text
//	               form, of the same key; empty means that the name is given up
//	signature   1  its length, then ECDSA in DER by the key over
//	               SHA-256("sallyport name 1" 0x00, all of the above)
//
// # Self-certifying names
//
// The ten characters are base32 (RFC 4648, in lower case: a to z and 2 to 7) of
// the first 50 bits of
//
//	Argon2id(password = key, salt = SHA-256("sallyport name key 1" 0x00 label),
//	         1 pass, 16 MiB, 1 lane)
//
// To take a name over one needs another key with the same 50 bits: 2⁵⁰ tries of
// this hash, which fills 16 MiB of memory each time. See docs/nicknames.md for
// what that costs.
//
// Such a name's record is kept on the topic sallyport/1/name-T, T being the
// first 16 bytes, in hex, of SHA-256("sallyport name topic 1" 0x00 name).
package nickname
