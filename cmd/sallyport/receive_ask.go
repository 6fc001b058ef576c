package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/transfer"
)

// ask shows what comes, and asks whether it is wanted.
func (r *receiveCommand) ask(ctx context.Context, from address.Key, o transfer.Offer) error {
	sum := o.Digest()
	digest := hex.EncodeToString(append(sum[:], from.String()...))
	switch {
	case r.accepted[digest]:
		return nil // goes on
	case r.json:
		emit(r.err, offeredEvent{"offered", from.String(), o.Files(), o.Size(), names(o)})
	case r.yes || !r.interactive():
		r.say("%s offers %s.", from.Short(), describe(o))
	}
	if !r.yes {
		if !r.interactive() {
			return &transfer.StopError{Reason: transfer.Unattended, Text: fmt.Sprintf("Not a terminal: add --yes to accept %s", describe(o))}
		}
		fmt.Fprintf(r.err, "%s offers %s.\nReceive it into %s? [y/N] ", from.Short(), describe(o), r.where())
		yes, err := r.typed(ctx)
		if err != nil {
			return err
		}
		if !yes {
			return &transfer.StopError{Reason: transfer.Declined}
		}
	}
	r.accepted[digest] = true
	r.remember(digest)
	return nil
}

// typed waits for an answer. What reads standard input can't be interrupted, and
// ends with the process.
func (r *receiveCommand) typed(ctx context.Context) (bool, error) {
	if r.answers == nil {
		r.answers = make(chan string)
		go func() {
			defer close(r.answers)
			for in := bufio.NewScanner(r.in); in.Scan(); {
				r.answers <- in.Text()
			}
		}()
	}
	select {
	case answer, there := <-r.answers:
		if !there {
			fmt.Fprintln(r.err) // the end of input moves no cursor
		}
		answer = strings.ToLower(strings.TrimSpace(answer))
		return answer == "y" || answer == "yes", nil
	case <-ctx.Done():
		fmt.Fprintln(r.err)
		return false, ctx.Err()
	}
}

type offeredEvent struct {
	Event string   `json:"event"`
	From  string   `json:"from"`
	Files int      `json:"files"`
	Bytes int64    `json:"bytes"`
	Names []string `json:"names"`
}
