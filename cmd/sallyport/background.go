package main

import (
	"os"
	"path/filepath"

	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/control"
)

// upFiles are where the node in the background keeps its things.
type upFiles struct {
	socket string // of the API
	lock   string // held while it runs; has its process id
	log    string
	token  string // for the API over TCP
}

func upPaths() (upFiles, error) {
	state, err := stateDir()
	if err != nil {
		return upFiles{}, failed(err, "try it with HOME set", "there is no home directory for a node in the background")
	}
	config, err := configDir()
	if err != nil {
		return upFiles{}, failed(err, "try it with HOME set", "there is no home directory for a node in the background")
	}
	return upFiles{
		socket: filepath.Join(state, "node.sock"), lock: filepath.Join(state, "node.lock"),
		log: filepath.Join(state, "node.log"), token: filepath.Join(config, "api-token"),
	}, nil
}

// background gives the node in the background: nil where none answers, and where
// the flags want one of their own.
func (a *app) background(f *nodeFlags) *control.Client {
	files, err := upPaths()
	if err != nil || f.ownNode {
		return nil
	}
	if _, err := os.Lstat(files.socket); err != nil {
		return nil
	}
	if c := newControl(files); c.Answers() {
		return c
	}
	return nil // its socket was left behind
}

func newControl(files upFiles) *control.Client { return control.New(files.socket, ofProblem) }
