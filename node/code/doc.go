// Package code hands an address over by a code of a number and two words, that
// is good for one use: 4821-zebra-acrobat. One side offers it, the other takes
// it, and each then has the other's address, authenticated, without anybody
// between having learned either.
//
// The number says where to meet: on the topic sallyport/1/code-NUMBER of the
// brokers that follow from it. The words are the password of a PAKE, CPace
// (draft-irtf-cfrg-cpace-21) over ristretto255 with SHA-512, so that whoever
// watches the brokers learns nothing to try words against, and whoever meddles
// has one guess at each side: 1 in 1,679,616 (1296², 20.7 bits), after which the
// code is used up. The words are EFF's second short list, no two of which begin
// with the same three letters; three letters of each are enough to type.
//
// # Messages
//
// A message is "SC1", its kind, the 16 random bytes of the taker's session, and
// a body. CPace runs with the words, joined by a hyphen, as its password; the
// session as its sid; "sallyport code 1" 0x00 NUMBER as its CI; and "taker" and
// "offerer" as the associated data of its sides.
//
//	A  taker    Ya (32)
//	B  offerer  Yb (32), tag (32)
//	C  taker    tag (32), sealed address
//	D  offerer  sealed address
//
// From the ISK come, by HKDF-SHA-256 without salt, 32 bytes for each of "confirm
// offerer", "confirm taker", "seal offerer", "seal taker" and "secret". A tag is
// HMAC-SHA-256 under its confirm key over session, Ya and Yb. An address, in its
// text form, is sealed with XChaCha20-Poly1305 under its seal key, which is used
// once, with a nonce of zeros and the session as associated data.
//
// The offerer answers the first session that it hears of, and no other. The
// taker repeats A until there is a B, and C until there is a D. A taker whose
// words were wrong sees it by the tag in B, and tells by a C whose tag is as
// wrong, so that both sides know at once.
package code
