package node_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat/natlab"
	"github.com/sallyport-net/sallyport/nat/probe"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/relay"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/broker"
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
	sideBySide()
	goleak.VerifyTestMain(m)
}

// labs is how many laboratories run side by side, unless -parallel says
// otherwise: they wait for delays and timeouts far more than for a processor.
const labs = 5

func sideBySide() {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" })
	if !asked {
		_ = flag.Set("test.parallel", strconv.Itoa(labs))
	}
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

func playServer(ctx context.Context, r role) error {
	cfg := broker.Config{Listen: net.JoinHostPort(r.Serve[0], cmp.Or(r.MQTT, "1883")), MaxPerIP: 10_000, Anyone: true} // as public ones are
	families := addrsByFamily(r.Serve)
	if len(families) > 1 {
		cfg.Listen = ":1883"
	}
	if r.Flooded {
		cfg.PublishRate, cfg.PublishBurst, cfg.Queue = 1e6, 1e6, 1e5
	}
	b, err := broker.Start(cfg)
	if err != nil {
		return err
	}
	defer b.Close()
	for _, addrs := range families {
		stun := probe.ServerConfig{Primary: netip.AddrPortFrom(addrs[0], 3478), OnePort: len(addrs) == 1}
		if len(addrs) > 1 {
			stun.Alternate = netip.AddrPortFrom(addrs[1], 3479)
		}
		s, err := probe.NewServer(stun)
		if err != nil {
			return err
		}
		defer s.Close()
	}
	if r.TURN != "" {
		t, err := relay.NewServer(relay.ServerConfig{Listen: r.TURN, Secret: relaySecret})
		if err != nil {
			return err
		}
		defer t.Close()
	}
	say(reply{Address: r.Serve[0]})
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

// addrsByFamily sorts addresses into IPv4 and IPv6 ones, as far as there are any.
func addrsByFamily(texts []string) [][]netip.Addr {
	var four, six []netip.Addr
	for _, text := range texts {
		if a := netip.MustParseAddr(text); a.Is4() {
			four = append(four, a)
		} else {
			six = append(six, a)
		}
	}
	return slices.DeleteFunc([][]netip.Addr{four, six}, func(list []netip.Addr) bool { return len(list) == 0 })
}

func playNode(ctx context.Context, r role) error {
	cfg := node.Config{MachineID: r.Machine, STUN: r.STUN, Strategies: r.Only, HideLAN: r.HideLAN,
		PortMap: r.PortMap, NoLAN: r.NoLAN, Port: r.Port, StateDir: r.State, KeepAlive: r.KeepAlive, Refresh: r.Refresh}
	if r.Key != "" {
		var raw []byte
		if _, err := fmt.Sscanf(r.Key, "%x", &raw); err != nil {
			return err
		}
		k, err := address.PrivateKeyFromBytes(raw)
		if err != nil {
			return err
		}
		cfg.Key = k
	}
	for _, text := range r.Relays {
		p, err := relay.ParseURL(text)
		if err != nil {
			return err
		}
		cfg.Relays = append(cfg.Relays, p)
	}
	for _, text := range r.By {
		a, err := address.Parse(text)
		if err != nil {
			return err
		}
		cfg.RelayNodes = append(cfg.RelayNodes, a)
	}
	if len(r.RelayFor) > 0 {
		keys, err := parseKeys(r.RelayFor)
		if err != nil {
			return err
		}
		cfg.Relaying.For = signaling.Only(keys...)
	}
	for _, b := range r.Brokers {
		cfg.Brokers = append(cfg.Brokers, address.Broker{URL: b})
	}
	if r.Nobody || len(r.Allow) > 0 {
		keys, err := parseKeys(r.Allow)
		if err != nil {
			return err
		}
		only := signaling.Only(keys...)
		cfg.Admission = &only
	}
	if r.Clock != 0 {
		cfg.Now = func() time.Time { return time.Now().Add(r.Clock) }
	}
	if r.Verbose {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	n, err := node.New(ctx, cfg)
	if err != nil {
		return err
	}
	defer n.Close()
	p := &player{node: n, last: n.Address()}
	if !r.NoAccept {
		go p.echoAll()
	}
	broker, stun := n.Health()
	say(reply{Address: p.last.String(), Health: healthText(broker, stun)})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		say(p.obey(ctx, o))
	}
	return nil
}

func parseKeys(ids []string) (keys []address.Key, err error) {
	for _, s := range ids {
		k, err := address.ParseKey(s)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func healthText(errs ...error) string {
	if err := errors.Join(errs...); err != nil {
		return err.Error()
	}
	return ""
}

func say(r reply) {
	b, _ := json.Marshal(r)
	fmt.Println(string(b))
}

// player is a node and the connections that it has.
type player struct {
	node *node.Node
	last address.Address // of the last order.Next, or at the start
	kept []*node.Conn
	flow *flow

	mu       sync.Mutex
	accepted []net.Conn
}

// echoAll sends back what each peer sends, until the peer ends.
func (p *player) echoAll() {
	for {
		c, err := p.node.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.accepted = append(p.accepted, c)
		p.mu.Unlock()
		go func() {
			defer c.Close()
			_, _ = io.Copy(c, c)
			_ = c.(*node.Conn).CloseWrite()
		}()
	}
}

func (p *player) obey(ctx context.Context, o order) reply {
	n := p.node
	switch {
	case o.Drop:
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range p.accepted {
			_ = c.Close()
		}
		for _, c := range p.kept {
			_ = c.Close()
		}
		p.accepted, p.kept = nil, nil
		return reply{}
	case o.Use > 0:
		r := reply{}
		if err := exchange(p.kept[o.Use-1], time.Now(), o, &r); err != nil {
			r.Error = err.Error()
		}
		return r
	}
	switch {
	case o.Flow > 0:
		p.flow = startFlow(p.kept[len(p.kept)-1], o.Flow, o.Rate)
		return reply{}
	case o.Look:
		return p.flow.look()
	case o.Block != "":
		return failure(blackhole(o.Block, true))
	case o.Pass != "":
		return failure(blackhole(o.Pass, false))
	}
	if o.Report {
		broker, stun := n.Health()
		return reply{Health: healthText(broker, stun), Report: fmt.Sprintf("%+v", n.Reports()), Address: n.Addr().String(), RSS: resident(), Routines: runtime.NumGoroutine()}
	}
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Timeout)
		defer cancel()
	}
	if o.Next {
		a, err := n.NextAddress(ctx, p.last)
		if err != nil {
			return reply{Error: err.Error()}
		}
		p.last = a
		return reply{Address: a.String()}
	}
	begun := time.Now()
	c, err := n.Connect(ctx, o.Connect)
	r := reply{Took: time.Since(begun)}
	if err != nil {
		r.Error = err.Error()
		var h interface{ Hint() string }
		if errors.As(err, &h) {
			r.Hint = h.Hint()
		}
		return r
	}
	r.Via, r.By, r.Remote, r.Usable = c.Via(), c.By().String(), c.RemoteAddr().String(), c.Took()
	for _, e := range c.Timeline() {
		r.Log = append(r.Log, fmt.Sprintf("%v %s %s", e.At.Round(time.Millisecond/10), e.Strategy, e.What))
	}
	if err := exchange(c, begun, o, &r); err != nil {
		r.Error = err.Error()
		r.Refused = errors.Is(err, link.ErrRefused)
	}
	if o.Keep {
		p.kept = append(p.kept, c)
	}
	return r
}

func failure(err error) reply {
	if err != nil {
		return reply{Error: err.Error()}
	}
	return reply{}
}

// exchange sends five bytes and waits for their echo, and then o.Bytes more
// and compares the hashes.
func exchange(c *node.Conn, begun time.Time, o order, r *reply) error {
	if !o.Keep {
		defer c.Close()
	}
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	first := make([]byte, 5)
	if _, err := io.ReadFull(c, first); err != nil {
		return err
	}
	r.Echo = time.Since(begun)
	if o.Keep {
		return nil
	}
	data := make([]byte, o.Bytes)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(data)
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		wrote <- errors.Join(err, c.CloseWrite())
	}()
	back, err := io.ReadAll(c)
	if err = errors.Join(err, <-wrote); err != nil {
		return err
	}
	if a, b := sha256.Sum256(data), sha256.Sum256(back); a != b {
		return fmt.Errorf("sent %d bytes, got %d others back", len(data), len(back))
	}
	return nil
}

// resident is this process's resident memory in kB.
func resident() int {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range bytes.Lines(b) {
		var kb int
		if _, err := fmt.Sscanf(string(line), "VmRSS: %d kB", &kb); err == nil {
			return kb
		}
	}
	return 0
}
