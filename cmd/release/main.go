// Command release makes what a release of sallyport consists of: for each
// system an archive with a static binary, the man page and the licence, and a
// file of their checksums.
//
//	go run ./cmd/release            # into dist
//	go run ./cmd/release -check     # only look whether it would compile
//
// It runs at the top of a checkout. The same commit and the same Go give the
// same bytes, wherever it is run: nothing of the machine goes into them, and
// all times are the commit's.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

// command is what is released.
const command = "./cmd/sallyport"

// Every system that gets a binary.
var targets = []target{
	{"linux", "amd64"}, {"linux", "arm64"},
	{"darwin", "amd64"}, {"darwin", "arm64"},
	{"windows", "amd64"}, {"windows", "arm64"},
	{"freebsd", "amd64"}, {"freebsd", "arm64"},
}

// target is a system and a processor, by Go's names.
type target struct{ os, arch string }

func (t target) String() string { return t.os + "/" + t.arch }

// env is that of a go command for the target. Without cgo the binary is static.
func (t target) env() []string {
	return append(os.Environ(), "GOOS="+t.os, "GOARCH="+t.arch, "CGO_ENABLED=0", "GOFLAGS=-buildvcs=true", "GOWORK=off", "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=")
}

func main() {
	dir := flag.String("dir", "dist", "`DIRECTORY` to write to; made if missing")
	only := flag.String("only", "", "`LIST` of systems, such as linux/amd64,windows/arm64 (default: all)")
	check := flag.Bool("check", false, "check the types of everything for each system, and build nothing")
	flag.Parse()
	if err := run(*dir, *only, *check, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

func run(dir, only string, check bool, rest []string) error {
	if len(rest) > 0 {
		return fmt.Errorf("%q is too much: there are flags only", rest[0])
	}
	chosen, err := choose(only)
	if err != nil {
		return err
	}
	if !check {
		return release(dir, chosen)
	}
	for _, t := range chosen {
		if err := typeCheck(t, ".", "./..."); err != nil {
			return fmt.Errorf("%v: %w", t, err)
		}
		fmt.Println(t)
	}
	return nil
}

// choose reads -only.
func choose(only string) ([]target, error) {
	if only == "" {
		return targets, nil
	}
	var chosen []target
	for name := range strings.SplitSeq(only, ",") {
		found := false
		for _, t := range targets {
			if t.String() == name {
				chosen, found = append(chosen, t), true
			}
		}
		if !found {
			return nil, fmt.Errorf("%q is none of %v", name, targets)
		}
	}
	return chosen, nil
}
