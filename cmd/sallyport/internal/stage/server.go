package stage

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/serve"
	"github.com/sallyport-net/sallyport/nat/natlab"
)

// ServerName is the name of the machine with the broker and the STUN server.
const ServerName = "server"

// Serve runs the broker and the STUN server as a machine of their own, and
// tells all the others, by their configuration, where they are.
func (s *Stage) Serve(ctx context.Context, stderr io.Writer) error {
	args := []string{"serve", "--json", "--listen"}
	var host *natlab.Host
	if s.lab != nil {
		var err error
		if host, err = s.lab.Host(natlab.HostConfig{Name: ServerName, Addresses: 2}); err != nil {
			return fmt.Errorf("the server's host can't be made: %w", err)
		}
		args = append(args, host.Addrs()[0].String(), "--listen", host.Addrs()[1].String())
	} else {
		args = append(args, "127.0.0.1", "--mqtt-port", "0", "--stun-port", "0", "--alternate-port", "0", "--turn-port", "0")
	}
	m, err := s.add(ServerName, host)
	if err != nil {
		return fmt.Errorf("the server can't be set up: %w", err)
	}
	ctx, s.cancel = context.WithCancel(ctx)
	c, run := m.Command(ctx, "sallyport", args...)
	var complaint complaint
	c.Stderr = io.MultiWriter(stderr, &complaint)
	if s.cfg.Apart != nil {
		s.cfg.Apart(c)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := run.Start(); err != nil {
		return fmt.Errorf("the server did not start: %w", err)
	}
	s.server = run
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		err = json.Unmarshal([]byte(line), &s.places)
	}
	if err == nil && len(s.places.Brokers) == 0 {
		err = errors.New("it names no broker")
	}
	if err != nil {
		s.cancel()
		_ = run.Wait() // it has said all now
		s.server = nil
		if complaint.text != "" {
			err = errors.New(complaint.text)
		}
		return fmt.Errorf("the server did not get ready: %w", err)
	}
	for _, m := range s.machines {
		if err := m.configure(); err != nil {
			return fmt.Errorf("the configuration of host %q can't be written: %w", m.name, err)
		}
	}
	return nil
}

// Places says where the services are; before Serve they are nowhere.
func (s *Stage) Places() serve.Places { return s.places }

// complaint keeps what a command of ours says of its failure, with --json.
type complaint struct {
	line []byte // what is not yet a whole line, up to maxComplaint
	text string
}

const maxComplaint = 1 << 10

// Write takes what the command says to standard error.
func (c *complaint) Write(p []byte) (int, error) {
	for _, b := range p {
		if b != '\n' {
			if len(c.line) < maxComplaint {
				c.line = append(c.line, b)
			}
			continue
		}
		var e struct{ Event, Error string }
		if json.Unmarshal(c.line, &e) == nil && e.Event == "error" {
			c.text = e.Error
		}
		c.line = c.line[:0]
	}
	return len(p), nil
}
