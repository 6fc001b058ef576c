package node_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/link"
	"github.com/sallyport-net/sallyport/node/relay"
	"github.com/sallyport-net/sallyport/signaling"
)

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
	_ = c.SetDeadline(time.Now().Add(time.Minute))
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
