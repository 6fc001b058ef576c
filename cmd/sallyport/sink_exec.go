package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/pipe"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/program"
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
		running, err := program.Start(cmd)
		if err != nil {
			pipe.Leave(c)
			return pipe.Traffic{Err: fmt.Errorf("the command did not start: %w", err)}
		}
		stop := context.AfterFunc(ctx, func() {
			pipe.Cut(c) // first, or the command's end would look like that of the stream
			running.Kill()
		})
		defer stop()
		return running.Converse(c)
	}
}
