// Package transfer sends files and folders over a connection, and goes on where
// an earlier attempt was cut off. docs/transfer.md is the specification.
//
// Both ends speak in frames over one stream:
//
//	frame = type (1) ‖ length (4) ‖ payload (length)
//
//	receiver                        sender
//	HELLO  version
//	                                ENTRY  one file or folder, repeated
//	                                OFFERED
//	ARRIVED  bytes
//	HAVE   hashes of what is here
//	GO
//	                                FILE   number, from which byte on
//	                                DATA   a block, repeated
//	ARRIVED  bytes, now and then
//	                                END    hash of the file
//	                                … the next file
//	                                FINISH
//	DONE
//
// and either may say STOP, with a reason, at any time. Numbers are big-endian.
//
//	HELLO   "sallyport transfer 2"
//	ENTRY   kind (1: 0 file, 1 folder) ‖ permissions (2) ‖ size (8) ‖
//	        modified (8, ns since 1970) ‖ path (UTF-8, "/" between names)
//	HAVE    number of the entry (4) ‖ hashes (32 each), in order; continued in
//	        more such frames for a file of more than MaxHashes blocks
//	FILE    number of the entry (4) ‖ first byte that follows (8)
//	DATA    1 MiB, less only at the end of a file
//	ARRIVED bytes that the receiver has of all files (8), with those that were
//	        there before
//	END     SHA-256("sallyport file 1" 0x00 ‖ size (8) ‖ hashes of all blocks)
//	STOP    reason (1) ‖ text for a person (at most 200 bytes of UTF-8)
//
// A hash of a block is its SHA-256. The other types have no payload.
package transfer
