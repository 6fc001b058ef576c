package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/node"
)

// execute runs a shell command for each peer. Its standard input and output
// are the connection, its standard error is ours, and SALLYPORT_PEER and
// SALLYPORT_REMOTE say who it is for.
func (a *app) execute(command string) sink {
	shell := []string{"sh", "-c"}
	if runtime.GOOS == "windows" {
		shell = []string{"cmd", "/c"}
	}
	return func(ctx context.Context, c *node.Conn) pipe.Traffic {
		cmd := exec.Command(shell[0], shell[1], command)
		cmd.Env = append(os.Environ(), "SALLYPORT_PEER="+c.Peer().String(), "SALLYPORT_REMOTE="+c.RemoteAddr().String())
		cmd.Stderr = os.Stderr
		ownGroup(cmd)
		program, err := startPiped(cmd)
		if err != nil {
			pipe.Leave(c)
			return pipe.Traffic{Err: fmt.Errorf("the command did not start: %w", err)}
		}
		stop := context.AfterFunc(ctx, func() {
			pipe.Cut(c) // first, or the command's end would look like that of the stream
			program.kill()
		})
		defer stop()
		return program.converse(c)
	}
}

// program is a running command, as one end of a conversation.
type program struct {
	cmd     *exec.Cmd
	in, out *os.File // our ends of its pipes

	mu   sync.Mutex
	over bool // it has been waited for, and its process id may be another's
}

func startPiped(cmd *exec.Cmd) (*program, error) {
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
	return &program{cmd: cmd, in: in, out: out}, nil
}

// kill ends the command and its children, if it still runs.
func (p *program) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		killGroup(p.cmd)
	}
}

// converse runs until the command has ended and all its output is sent. The
// end of what the peer says is the end of the command's input; when the peer
// is lost or closes altogether, the command is killed. It closes c.
func (p *program) converse(c *node.Conn) pipe.Traffic {
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
		p.kill()
	}()
	var err error
	if t.Sent, err = pipe.Copy(c, p.out); err != nil {
		p.kill()
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
