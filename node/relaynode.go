package node

import (
	"errors"
	"fmt"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/circuit"
)

// openPort443 is what helps where a network lets out port 443 alone.
const openPort443 = "have the relaying node reached at port 443, with --port 443 on a public address"

// RelayNodeError is a node that was to relay, and did not. What it met there is
// no error of the peer's, and is not unwrapped.
type RelayNodeError struct {
	Node address.Key
	Err  error

	narrow bool // the leg is from a network that lets out little
}

func (e *RelayNodeError) Error() string { return fmt.Sprintf("by node %s: %v", e.Node.Short(), e.Err) }

// Hint is the one change that would help.
func (e *RelayNodeError) Hint() string {
	var no *circuit.Error
	var guess *BirthdayError
	var hopeless *HopelessError
	answered := errors.As(e.Err, &no)
	switch {
	case answered && no.Status == circuit.Absent && e.narrow:
		return openPort443 + ": the peer's network lets out little else"
	case answered:
		return no.Hint()
	case e.narrow:
		return openPort443 + ": this network lets out little else"
	case errors.As(e.Err, &guess):
		return "name this node by its id with --relay-for where the relaying node runs"
	case errors.As(e.Err, &hopeless):
		return "forward a TCP port to the relaying node, and name it with --port there"
	}
	return "check that the node named with --relay runs, and relays for this one"
}

// relayNodeError is what a node that was to relay has met with a call: at our leg,
// or at the peer's, where the node has answered.
func (c *call) relayNodeError(relay address.Key, err error) error {
	var no *circuit.Error
	if errors.As(err, &no) {
		return &RelayNodeError{relay, err, narrow(c.peer)}
	}
	return &RelayNodeError{relay, err, c.node.confined()}
}

// narrow reports whether no server has seen a peer from outside, as is so in a
// network that lets out little.
func narrow(peer address.Address) bool { return len(peer.Interfaces()) > 0 && allUnseen(peer) }

// unreachedError is a peer that is not served by the node that relays for it.
type unreachedError struct {
	peer   address.Key
	narrow bool // its network lets out little
}

func (e *unreachedError) Error() string {
	return fmt.Sprintf("the node that relays for %s does not lead there", e.peer.Short())
}

// Hint is the one change that would help.
func (e *unreachedError) Hint() string {
	if e.narrow {
		return openPort443 + ": the peer's network lets out little else"
	}
	return "check that the node which the peer names with --relay runs, and names the peer with --relay-for"
}
