// Package address says who a node is and where it can be met: a Key is who, an
// Interface is one place, and an Address joins a key with the brokers that it
// listens on and the places where it lives.
//
// Parse reads three forms. docs/address.md specifies them, with vectors that
// the tests of this package run.
//
//	text     0,3-[2,0,203.0.113.7,192.168.1.20,40001,5,2,0]-0-NODEID-MACHINEID
//	compact  s_ and 50 to 85 base58 characters in most cases, with a checksum
//	node id  44 or 45 base58 characters, the compressed public key
//
// The compact form is
//
//	"s_" base58(payload checksum)
//
// where checksum is the first 4 bytes of SHA-256("s_" payload), and payload is
// a string of bits, most significant first, filled up with zeros to a whole
// byte. Its fields, in order, with their widths in bits:
//
//	key        1  whether the compressed public key begins with 3, not 2
//	         256  the rest of it, the x coordinate
//	brokers    1  whether there are any; the rest only if so:
//	           3  how many, less 1; then for each
//	       5,16,0  index; 65568 means a URL: 7 bits length less 1, then its bytes
//	machine    1  whether there is a machine id; the rest only if so:
//	           1  whether it is 8 lower-case hex digits, which take
//	          32  bits; any other takes 6 bits length less 1 and 7 bits a character
//	counts     2  IPv4 interfaces
//	           2  IPv6 interfaces; then for each, IPv4 first:
//	    5,11,16  netiface
//	       0,16  index, less the position in its list, modulo 65536
//	  32 or 128  external address
//	     3 or 1  internal address: 0 the external one, else a range, see below
//	          16  port
//	           3  nat
//	           3  delta
//	        6,16  value, only where delta is 4 or 5; 0, -1, 1, -2 … as 0, 1, 2, 3 …
//	       0,16  external port, 0 for none
//	    0,10,16  broker round trip in ms, 0 for unknown
//
// Widths joined by commas are tiers. A number stands in the first tier that can
// hold it: before it, a 1 for each tier skipped and a 0 unless the tier is the
// last; then the number less all that the skipped tiers can hold. With 5,16 the
// numbers 0 to 31 are a 0 and five bits, and 32 is a 1 and sixteen zeros.
//
// The ranges of an internal IPv4 address are 1 192.168.0.0/16, 2 10.0.0.0/8,
// 3 172.16.0.0/12, 4 100.64.0.0/10, 5 0.0.0.0/0; of an IPv6 one, 1 ::/0. The
// bits that the range leaves open follow; the first range that fits is used.
//
// So every address has exactly one compact form, and a reader refuses others.
package address
