package main

import (
	"context"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/control"
)

func newDown(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "down",
		Short: "End the node in the background",
		Long: `End the node that "sallyport up" has started, and wait until it has ended. Where
none runs, say so; that is no failure.`,
		Example: `  sallyport down`,
		Args:    nothingElse,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.down(c.Context())
		},
	}
	c.Flags().BoolVar(&a.json, "json", false, "print one JSON object")
	c.Flags().BoolVarP(&a.verbose, "verbose", "v", false, "show the causes of errors")
	return c
}

func (a *app) down(ctx context.Context) error {
	files, err := upPaths()
	if err != nil {
		return err
	}
	pid, err := a.askDown(ctx, files)
	if err != nil {
		return err
	}
	if pid == 0 {
		if a.json {
			emit(a.out, downEvent{Event: "down"})
		}
		a.say("No node runs in the background.")
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, upTime)
	defer cancel()
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for isUp(files) {
		select {
		case <-look.C:
		case <-ctx.Done():
			if context.Cause(ctx) != context.DeadlineExceeded {
				return context.Cause(ctx)
			}
			return failed(nil, "end it by force", "the node in the background (process %d) has not ended within %v", pid, upTime)
		}
	}
	if a.json {
		emit(a.out, downEvent{"down", pid})
	}
	a.say("The node in the background (process %d) has ended.", pid)
	return nil
}

// downEvent has the process that has ended; none where none ran.
type downEvent struct {
	Event string `json:"event"`
	PID   int    `json:"pid,omitempty"`
}

// askDown asks the node to end, and gives its process id, 0 where there is none.
// One that holds the lock and does not answer gets a signal.
func (a *app) askDown(ctx context.Context, files upFiles) (int, error) {
	was := lockedBy(files.lock)
	c := a.background(&nodeFlags{})
	if c != nil {
		asking, cancel := context.WithTimeout(ctx, control.AnswerTime)
		defer cancel()
		var ending struct {
			PID int `json:"pid"`
		}
		if c.Ask(asking, http.MethodPost, "/v1/shutdown", nil, &ending) == nil {
			return ending.PID, nil
		}
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
	}
	pid := lockedBy(files.lock)
	if !isUp(files) || pid == 0 {
		if c != nil { // it was there, and had ended before its answer came
			return was, nil
		}
		return 0, nil
	}
	p, err := os.FindProcess(pid)
	if err == nil {
		err = terminate(p)
	}
	if err != nil {
		return 0, failed(err, "end it by force", "the node in the background (process %d) does not answer", pid)
	}
	return pid, nil
}

// isUp reports whether a process holds the lock, or answers on the socket.
func isUp(files upFiles) bool {
	if f, err := os.OpenFile(files.lock, os.O_RDWR, 0); err == nil {
		ok, err := tryLock(f)
		_ = f.Close()
		if err == nil && !ok {
			return true
		}
	}
	return newControl(files).Answers()
}
