// Package stage is a set of machines for this program to play on: hosts of a
// laboratory, each behind a NAT of its own (natlab), or, where there is none, this
// machine under several homes. One more runs "sallyport serve", and the others are
// told of it by their configuration.
package stage

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/serve"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

// Config says where a Stage is.
type Config struct {
	// Loopback is the interface over which all machines meet. Without it they are
	// hosts of a laboratory.
	Loopback string
	// Apart, where it is set, is called with the command of the server before it
	// starts, so as to keep the signals of a terminal from it.
	Apart func(*exec.Cmd)
}

// Stage is the machines, and what they run on.
type Stage struct {
	cfg      Config
	dir      string // with the homes
	exe      string // this program
	lab      *natlab.Lab
	boxes    map[string]*natlab.Box // the NATs, by the hosts behind them; nil for an open host
	machines map[string]*Machine
	order    []string
	places   serve.Places
	server   Runner
	cancel   context.CancelFunc
}

// New makes an empty one, whose Close is due in the end.
func New(cfg Config) (*Stage, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("this program can't find itself: %w", err)
	}
	dir, err := os.MkdirTemp("", "sallyport-lab-")
	if err != nil {
		return nil, fmt.Errorf("no room for temporary files: %w", err)
	}
	s := &Stage{
		cfg: cfg, dir: dir, exe: exe, boxes: make(map[string]*natlab.Box), machines: make(map[string]*Machine), cancel: func() {},
	}
	if cfg.Loopback == "" {
		// By this name the program is found from shells on the hosts, too.
		err = os.Mkdir(filepath.Join(dir, "bin"), 0o700)
		if err == nil {
			err = os.Symlink(exe, filepath.Join(dir, "bin", "sallyport"))
		}
		if err == nil {
			s.lab, err = natlab.New(natlab.Config{})
		}
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("the laboratory can't be built: %w", err)
	}
	return s, nil
}

// Close ends all commands and takes everything away.
func (s *Stage) Close() {
	s.cancel()
	if s.server != nil {
		_ = s.server.Wait()
	}
	if s.lab != nil {
		_ = s.lab.Close()
	}
	_ = os.RemoveAll(s.dir)
}

// Add puts a machine on the stage that meets the others on loopback.
func (s *Stage) Add(name string) error {
	if _, err := s.add(name, nil); err != nil {
		return fmt.Errorf("%s's home can't be made: %w", name, err)
	}
	return nil
}

func (s *Stage) add(name string, host *natlab.Host) (*Machine, error) {
	m := &Machine{stage: s, name: name, host: host, home: filepath.Join(s.dir, name)}
	key, _, err := address.LoadOrCreateKey(filepath.Join(m.home, "config", "sallyport", "key"))
	if err != nil {
		return nil, err
	}
	m.key = key.Public()
	s.machines[name] = m
	s.order = append(s.order, name)
	return m, nil
}

// HostError is why a Host can't be, whatever the system allows.
type HostError struct{ Err error }

func (e HostError) Error() string { return e.Err.Error() }

func (e HostError) Unwrap() error { return e.Err }

// AddHost puts a machine of the laboratory on the stage.
func (s *Stage) AddHost(h Host) error {
	cfg := natlab.HostConfig{Name: h.Name}
	switch {
	case h.with != "":
		box, known := s.boxes[h.with]
		if !known {
			return HostError{fmt.Errorf("host %q is behind the NAT of %q, which is not a host before it", h.Name, h.with)}
		}
		cfg.Behind = box
		s.boxes[h.Name] = box
	case h.open:
		cfg.Delay, cfg.Jitter, cfg.Loss = h.link.Delay, h.link.Jitter, h.link.Loss
		s.boxes[h.Name] = nil
	default:
		nat := h.box
		nat.Name = h.Name + "-nat"
		nat.Delay, nat.Jitter, nat.Loss = h.link.Delay, h.link.Jitter, h.link.Loss
		if h.carrier != nil {
			outer := *h.carrier
			outer.Name = h.Name + "-carrier"
			carrier, err := s.lab.NAT(outer)
			if err != nil {
				return HostError{err}
			}
			nat.Behind = carrier
		}
		box, err := s.lab.NAT(nat)
		if err != nil {
			return HostError{err}
		}
		cfg.Behind = box
		s.boxes[h.Name] = box
	}
	host, err := s.lab.Host(cfg)
	var m *Machine
	if err == nil {
		m, err = s.add(h.Name, host)
	}
	if err != nil {
		return fmt.Errorf("host %q can't be made: %w", h.Name, err)
	}
	m.nat = cmp.Or(h.nat, "open")
	return nil
}

// Machine is the one of that name, or nil.
func (s *Stage) Machine(name string) *Machine { return s.machines[name] }

// Expand puts addresses in place of {NAME} and {NAME.ip}.
func (s *Stage) Expand(words []string) []string {
	var pairs []string
	for _, name := range s.order {
		m := s.machines[name]
		pairs = append(pairs, "{"+name+"}", m.target())
		if m.host != nil {
			pairs = append(pairs, "{"+name+".ip}", m.host.Addr().String())
		}
	}
	replacer := strings.NewReplacer(pairs...)
	var out []string
	for _, w := range words {
		out = append(out, replacer.Replace(w))
	}
	return out
}
