// Package probe asks STUN servers what NATs do, over UDP and over TCP, and is
// such a server itself. It judges nothing: what it hears goes to package nat.
//
// A message is (RFC 8489 §5, all numbers big-endian)
//
//	 0               2               4                       20
//	+---------------+---------------+---- ... ----+---- ... ----+
//	| type          | length        | cookie, id  | attributes  |
//	+---------------+---------------+---- ... ----+---- ... ----+
//
// and an attribute is type, length, value, padded to four bytes. Over TCP
// messages follow one another, each as long as its header says. Of the many
// attributes these are used: XOR-MAPPED-ADDRESS and MAPPED-ADDRESS (where the
// server saw us), CHANGE-REQUEST (answer me from elsewhere), OTHER-ADDRESS or
// CHANGED-ADDRESS (where elsewhere is), RESPONSE-ORIGIN, RESPONSE-PORT (answer
// to that port) and ERROR-CODE, and of our own CALL and CALL-RESULT (see call.go).
package probe
