// Package tunnel is what a stream begins with that shall lead to a TCP service
// at the peer: who opens the stream says where it shall go, and the peer answers
// yes, or why not. It reads and writes bytes, and decides what is allowed; it
// opens no socket.
//
// Numbers are big-endian.
//
//	request = "spt" ‖ version (1) ‖ kind (1) ‖ body     version = 1
//	kind    = 1 dial:   body = place    connect the stream to this TCP service
//	          2 listen: body = place    listen there, and knock here for each connection
//	          3 take:   body = ticket   the stream is for the connection that knocked
//	reply   = "spr" ‖ version (1) ‖ status (1) ‖ place
//	place   = port (2) ‖ length (1) ‖ host (length, at most 253)
//	knock   = ticket (16) ‖ place
//
// A host is an IP address or a host name in small ASCII letters. In a listen it
// is an IP address, or empty for 127.0.0.1, and the port may be 0 for any. In a
// reply the place is where the peer listens now, and otherwise empty (length 0,
// port 0). In a knock it says where the connection comes from.
//
// After a reply of status 0 the stream carries the connection's bytes as they
// are; bytes may follow a dial without waiting for the reply. That of a listen
// carries knocks from the peer, and tickets (16 bytes each) to it: of
// connections that are not wanted. The listening ends with the stream.
package tunnel
