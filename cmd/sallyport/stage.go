package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/serve"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

// labServer is the name of the host with the broker and the STUN server.
const labServer = "server"

// stage is a set of machines for this program to play on: hosts of a
// laboratory, or, without one, this machine under several homes.
type stage struct {
	dir      string // with the homes
	exe      string // this program
	lab      *natlab.Lab
	machines map[string]*machine
	order    []string
	servers  serve.Places
	server   runner
	cancel   context.CancelFunc
}

// machine is a place to run commands in, with a home of its own.
type machine struct {
	stage *stage
	name  string
	host  *natlab.Host // nil on loopback
	home  string
	key   address.Key
}

// runner is a command that may run on a host.
type runner interface {
	Start() error
	Wait() error
}

// newStage makes an empty one: in a laboratory, or on loopback.
func newStage(inLab bool) (*stage, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, failed(err, "", "this program can't find itself")
	}
	dir, err := os.MkdirTemp("", "sallyport-lab-")
	if err != nil {
		return nil, failed(err, "", "no room for temporary files: %v", err)
	}
	s := &stage{dir: dir, exe: exe, machines: make(map[string]*machine), cancel: func() {}}
	// By this name the program is found from shells on the hosts, too.
	err = os.Mkdir(filepath.Join(dir, "bin"), 0o700)
	if err == nil {
		err = os.Symlink(exe, filepath.Join(dir, "bin", "sallyport"))
	}
	if err == nil && inLab {
		s.lab, err = natlab.New(natlab.Config{})
	}
	if err != nil {
		s.close()
		return nil, failed(err, "", "the laboratory can't be built: %v", err)
	}
	return s, nil
}

// close ends all commands and takes everything away.
func (s *stage) close() {
	s.cancel()
	if s.server != nil {
		_ = s.server.Wait()
	}
	if s.lab != nil {
		_ = s.lab.Close()
	}
	_ = os.RemoveAll(s.dir)
}

// add puts a machine on the stage: host is nil on loopback.
func (s *stage) add(name string, host *natlab.Host) (*machine, error) {
	m := &machine{stage: s, name: name, host: host, home: filepath.Join(s.dir, name)}
	key, _, err := address.LoadOrCreateKey(filepath.Join(m.home, "config", "sallyport", "key"))
	if err != nil {
		return nil, err
	}
	m.key = key.Public()
	s.machines[name] = m
	s.order = append(s.order, name)
	return m, nil
}

// addHost adds a machine of the laboratory.
func (s *stage) addHost(h labHost, boxes map[string]*natlab.Box) error {
	cfg := natlab.HostConfig{Name: h.name}
	switch {
	case h.with != "":
		box, known := boxes[h.with]
		if !known {
			return misused("", "host %q is behind the NAT of %q, which is not a host before it", h.name, h.with)
		}
		cfg.Behind = box
		boxes[h.name] = box
	case h.open:
		cfg.Delay, cfg.Jitter, cfg.Loss = h.link.Delay, h.link.Jitter, h.link.Loss
		boxes[h.name] = nil
	default:
		nat := h.box
		nat.Name = h.name + "-nat"
		nat.Delay, nat.Jitter, nat.Loss = h.link.Delay, h.link.Jitter, h.link.Loss
		if h.carrier != nil {
			outer := *h.carrier
			outer.Name = h.name + "-carrier"
			carrier, err := s.lab.NAT(outer)
			if err != nil {
				return misused("", "%v", err)
			}
			nat.Behind = carrier
		}
		box, err := s.lab.NAT(nat)
		if err != nil {
			return misused("", "%v", err)
		}
		cfg.Behind = box
		boxes[h.name] = box
	}
	host, err := s.lab.Host(cfg)
	if err == nil {
		_, err = s.add(h.name, host)
	}
	if err != nil {
		return failed(err, "", "host %q can't be made: %v", h.name, err)
	}
	return nil
}

// serve runs the broker and the STUN server as a machine of their own, and
// tells all the others, by their configuration, where they are.
func (s *stage) serve(ctx context.Context, stderr io.Writer) error {
	args := []string{"serve", "--json", "--listen"}
	var host *natlab.Host
	if s.lab != nil {
		var err error
		if host, err = s.lab.Host(natlab.HostConfig{Name: labServer, Addresses: 2}); err != nil {
			return failed(err, "", "the server's host can't be made: %v", err)
		}
		args = append(args, host.Addrs()[0].String(), "--listen", host.Addrs()[1].String())
	} else {
		args = append(args, "127.0.0.1", "--mqtt-port", "0", "--stun-port", "0", "--alternate-port", "0", "--turn-port", "0")
	}
	m, err := s.add(labServer, host)
	if err != nil {
		return failed(err, "", "the server can't be set up: %v", err)
	}
	ctx, s.cancel = context.WithCancel(ctx)
	c, run := m.command(ctx, "sallyport", args...)
	c.Stderr = stderr
	ownGroup(c) // ^C is for us to pass on
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := run.Start(); err != nil {
		return failed(err, "", "the server did not start: %v", err)
	}
	s.server = run
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		err = json.Unmarshal([]byte(line), &s.servers)
	}
	if err == nil && len(s.servers.Brokers) == 0 {
		err = errors.New("it names no broker")
	}
	if err != nil {
		return failed(err, "", "the server did not get ready: %v", err)
	}
	for _, m := range s.machines {
		if err := m.configure(); err != nil {
			return failed(err, "", "the configuration of host %q can't be written: %v", m.name, err)
		}
	}
	return nil
}

// configure writes a machine's config.toml.
func (m *machine) configure() error {
	quoted := func(list []string) string {
		b, _ := json.Marshal(list) // TOML's basic strings are JSON's, for what an address holds
		return string(b)
	}
	text := fmt.Sprintf("broker = %s\nstun = %s\n", quoted(m.stage.servers.Brokers[:1]), quoted(m.stage.servers.STUN))
	if m.host == nil {
		text += fmt.Sprintf("interface = [%q]\n", loopbackName())
	}
	return os.WriteFile(filepath.Join(m.home, "config", "sallyport", "config.toml"), []byte(text), 0o600)
}

// target is an address that finds the machine's node from the moment on at
// which it runs: over the broker, without an interface in it.
func (m *machine) target() string {
	a := address.Address{Key: m.key}
	if len(m.stage.servers.Brokers) > 0 {
		if b, err := address.ParseBroker(m.stage.servers.Brokers[0]); err == nil {
			a.Brokers = []address.Broker{b}
		}
	}
	compact, err := a.Compact()
	if err != nil {
		return a.String()
	}
	return compact
}

// command prepares a program to run there; sallyport is this one.
func (m *machine) command(ctx context.Context, name string, args ...string) (*exec.Cmd, runner) {
	path := name
	if name == "sallyport" {
		path = m.stage.exe
	}
	var c *exec.Cmd
	var run runner
	if m.host != nil {
		on := m.host.Command(ctx, path, args...)
		c, run = on.Cmd, on
	} else {
		c = exec.CommandContext(ctx, path, args...)
		run = c
	}
	c.Args[0] = name
	c.Env = append(os.Environ(), m.environment()...)
	return c, run
}

// environment tells a command where it lives and whom it may call.
func (m *machine) environment() []string {
	s := m.stage
	env := []string{
		"PATH=" + filepath.Join(s.dir, "bin") + string(os.PathListSeparator) + os.Getenv("PATH"),
		"XDG_CONFIG_HOME=" + filepath.Join(m.home, "config"),
		"XDG_STATE_HOME=" + filepath.Join(m.home, "state"),
		"SALLYPORT_LAB_HOST=" + m.name,
		"SALLYPORT_LAB_BROKER=" + strings.Join(s.servers.Brokers, ","),
		"SALLYPORT_LAB_STUN=" + strings.Join(s.servers.STUN, ","),
	}
	for _, name := range s.order {
		other := s.machines[name]
		env = append(env, "SALLYPORT_LAB_"+name+"="+other.target())
		if other.host != nil {
			env = append(env, "SALLYPORT_LAB_"+name+"_IP="+other.host.Addr().String())
		}
	}
	return env
}
