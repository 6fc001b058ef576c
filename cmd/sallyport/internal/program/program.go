// Package program runs a command as one end of a conversation with a peer: its standard
// input and output are the connection, and it is killed with all its children when that
// is lost.
package program

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/node"
)

// Program is a running command, as one end of a conversation.
type Program struct {
	cmd     *exec.Cmd
	in, out *os.File // our ends of its pipes

	mu   sync.Mutex
	over bool // it has been waited for, and its process id may be another's
}

// Start starts a command, in a process group of its own, with pipes for its standard
// input and output. Converse has to be called then.
func Start(cmd *exec.Cmd) (*Program, error) {
	Apart(cmd)
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		_ = theirIn.Close()
		_ = in.Close()
		return nil, err
	}
	cmd.Stdin, cmd.Stdout = theirIn, theirOut
	err = cmd.Start()
	_ = theirIn.Close()
	_ = theirOut.Close()
	if err != nil {
		_ = in.Close()
		_ = out.Close()
		return nil, err
	}
	return &Program{cmd: cmd, in: in, out: out}, nil
}

// Kill ends the command and its children, if it still runs.
func (p *Program) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		killGroup(p.cmd)
	}
}

// Converse runs until the command has ended and all its output is sent. The
// end of what the peer says is the end of the command's input; when the peer
// is lost or closes altogether, the command is killed. It closes c.
func (p *Program) Converse(c *node.Conn) pipe.Traffic {
	var t pipe.Traffic
	listening := make(chan struct{})
	go func() { // ends with the connection at the latest
		defer close(listening)
		var err error
		var w pipe.WriteError
		t.Received, err = pipe.Copy(p.in, c)
		_ = p.in.Close()
		if errors.As(err, &w) {
			return // it does not care to listen
		}
		if err == nil {
			c.WaitClosed()
		}
		p.Kill()
	}()
	var err error
	if t.Sent, err = pipe.Copy(c, p.out); err != nil {
		p.Kill()
	}
	_ = p.out.Close()
	status := p.cmd.Wait()
	p.mu.Lock()
	p.over = true
	p.mu.Unlock()
	if err == nil {
		pipe.Leave(c)
	}
	_ = c.Close()
	<-listening
	t.Err = err
	if exit := (*exec.ExitError)(nil); err == nil && errors.As(status, &exit) {
		t.Err = fmt.Errorf("the command ended with %v", exit)
	}
	return t
}
