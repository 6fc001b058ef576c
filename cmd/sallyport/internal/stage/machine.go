package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

// Machine is a place to run commands in, with a home of its own.
type Machine struct {
	stage *Stage
	name  string
	host  *natlab.Host // nil on loopback
	nat   string       // the word for its NAT; "" without one, or for the server
	home  string
	key   address.Key
}

// Name is what it is called.
func (m *Machine) Name() string { return m.name }

// Runner is a command that may run on a host.
type Runner interface {
	Start() error
	Wait() error
}

// configure writes a machine's config.toml.
func (m *Machine) configure() error {
	quoted := func(list []string) string {
		b, _ := json.Marshal(list) // TOML's basic strings are JSON's, for what an address holds
		return string(b)
	}
	text := fmt.Sprintf("broker = %s\nstun = %s\n", quoted(m.stage.places.Brokers[:1]), quoted(m.stage.places.STUN))
	if m.host == nil {
		text += fmt.Sprintf("interface = [%q]\n", m.stage.cfg.Loopback)
	}
	return os.WriteFile(filepath.Join(m.home, "config", "sallyport", "config.toml"), []byte(text), 0o600)
}

// target is an address that finds the machine's node from the moment on at
// which it runs: over the broker, without an interface in it.
func (m *Machine) target() string {
	a := address.Address{Key: m.key}
	if len(m.stage.places.Brokers) > 0 {
		if b, err := address.ParseBroker(m.stage.places.Brokers[0]); err == nil {
			a.Brokers = []address.Broker{b}
		}
	}
	compact, err := a.Compact()
	if err != nil {
		return a.String()
	}
	return compact
}

// Command prepares a program to run there; sallyport is this one.
func (m *Machine) Command(ctx context.Context, name string, args ...string) (*exec.Cmd, Runner) {
	path := name
	if name == "sallyport" {
		path = m.stage.exe
	}
	var c *exec.Cmd
	var run Runner
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
func (m *Machine) environment() []string {
	s := m.stage
	env := []string{
		"PATH=" + filepath.Join(s.dir, "bin") + string(os.PathListSeparator) + os.Getenv("PATH"),
		"XDG_CONFIG_HOME=" + filepath.Join(m.home, "config"),
		"XDG_STATE_HOME=" + filepath.Join(m.home, "state"),
		"SALLYPORT_LAB_HOST=" + m.name,
		"SALLYPORT_LAB_BROKER=" + strings.Join(s.places.Brokers, ","),
		"SALLYPORT_LAB_STUN=" + strings.Join(s.places.STUN, ","),
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
