package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/nat/natlab/natlabtest"
	"github.com/sallyport-net/sallyport/node"
)

// agentVariable makes the test binary play a host of the lab instead of
// running tests: a node is one process, since its sockets must all be born in
// one network namespace.
const agentVariable = "SALLYPORT_TEST_AGENT"

func TestMain(m *testing.M) {
	if role := os.Getenv(agentVariable); role != "" {
		if err := playAgent(role); err != nil {
			fmt.Fprintln(os.Stderr, "agent:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	natlab.Main()
	natlabtest.SideBySide(labs)
	goleak.VerifyTestMain(m)
}

// role is what an agent is told to be.
type role struct {
	Serve    []string        `json:"serve,omitempty"` // addresses of a broker and STUN server
	Key      string          `json:"key,omitempty"`   // 64 hex digits
	Machine  string          `json:"machine,omitempty"`
	Brokers  []string        `json:"brokers,omitempty"`
	STUN     []string        `json:"stun"`            // empty, but not nil: none
	Allow    []string        `json:"allow,omitempty"` // empty: everyone
	Nobody   bool            `json:"nobody,omitempty"`
	Only     []node.Strategy `json:"only,omitempty"`
	HideLAN  bool            `json:"hide_lan,omitempty"`
	Clock    time.Duration   `json:"clock,omitempty"`
	Verbose  bool            `json:"verbose,omitempty"`
	Flooded  bool            `json:"flooded,omitempty"` // a broker that lets everything through
	NoAccept bool            `json:"no_accept,omitempty"`
	PortMap  bool            `json:"port_map,omitempty"`
	NoLAN    bool            `json:"no_lan,omitempty"`
	Port     uint16          `json:"port,omitempty"`
	MQTT     string          `json:"mqtt,omitempty"` // port of the broker; default 1883
	Relays   []string        `json:"relays,omitempty"`
	TURN     string          `json:"turn,omitempty"`      // "host:port" of a relay, whose secret is relaySecret
	State    string          `json:"state,omitempty"`     // the state directory
	By       []string        `json:"by,omitempty"`        // addresses of nodes that relay for this one
	RelayFor []string        `json:"relay_for,omitempty"` // ids
	// Each 0 is the node's own default.
	KeepAlive time.Duration `json:"keep_alive,omitempty"`
	Refresh   time.Duration `json:"refresh,omitempty"`
}

// order is what an agent is told to do; every order has one reply.
type order struct {
	Connect string        `json:"connect,omitempty"`
	Bytes   int           `json:"bytes,omitempty"`
	Keep    bool          `json:"keep,omitempty"` // leave the connection open
	Use     int           `json:"use,omitempty"`  // exchange over the kept connection of that number, from 1, and end it
	Drop    bool          `json:"drop,omitempty"` // close all connections, those that were accepted too
	Timeout time.Duration `json:"timeout,omitempty"`
	Report  bool          `json:"report,omitempty"`
	Next    bool          `json:"next,omitempty"` // wait until the address is another than when last told by this

	Flow  int64  `json:"flow,omitempty"` // begin an exchange of so many bytes over the kept connection
	Rate  int64  `json:"rate,omitempty"` // bytes per second of it
	Look  bool   `json:"look,omitempty"` // say how far it is
	Block string `json:"block,omitempty"`
	Pass  string `json:"pass,omitempty"`
}

// reply is what an agent says: first that it is ready, then one for each order.
type reply struct {
	Address  string        `json:"address,omitempty"`
	Health   string        `json:"health,omitempty"`
	Report   string        `json:"report,omitempty"`
	Error    string        `json:"error,omitempty"`
	Hint     string        `json:"hint,omitempty"`
	Refused  bool          `json:"refused,omitempty"`
	Via      node.Strategy `json:"via,omitempty"`
	By       string        `json:"by,omitempty"` // the node that relays
	Remote   string        `json:"remote,omitempty"`
	Usable   time.Duration `json:"usable,omitempty"` // Connect to both keys proven
	Echo     time.Duration `json:"echo,omitempty"`   // Connect to the first echo
	Took     time.Duration `json:"took,omitempty"`   // Connect to its return
	Log      []string      `json:"log,omitempty"`
	Sent     int64         `json:"sent,omitempty"`
	Got      int64         `json:"got,omitempty"`
	Stall    time.Duration `json:"stall,omitempty"`
	Ended    bool          `json:"ended,omitempty"`
	Moves    int           `json:"moves,omitempty"`
	Alive    bool          `json:"alive,omitempty"`
	RSS      int           `json:"rss,omitempty"` // kB
	Routines int           `json:"routines,omitempty"`
}

func playAgent(text string) error {
	var r role
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if r.Serve != nil {
		return playServer(ctx, r)
	}
	return playNode(ctx, r)
}

func say(r reply) {
	b, _ := json.Marshal(r)
	fmt.Println(string(b))
}
