// Command sallyport opens direct, encrypted connections between machines,
// whatever NATs stand between them. Run "sallyport help" to see what it does,
// and "sallyport demo" to see it done.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run is the whole program: it gives the exit status.
func run(args []string) int {
	a := newApp()
	a.args = args
	ctx, stop := withSignals(context.Background())
	defer stop()
	root := newRoot(a)
	root.SetArgs(args)
	c, err := root.ExecuteContextC(ctx)
	return a.report(c, err, context.Cause(ctx))
}
