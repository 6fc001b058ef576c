package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// memoryOf is how long a transfer that was cut off can go on.
const memoryOf = 24 * time.Hour

// pending is what is remembered of a transfer by code, so that the same command
// goes on with the same peer. The code itself can't be used again: both sides
// have the other's key from its first use, and hold on to that.
type pending struct {
	Code     string    `json:"code"`
	Secret   []byte    `json:"key"`            // ours, made for this transfer
	Peer     string    `json:"peer,omitempty"` // its address; empty before the code was taken
	Accepted string    `json:"accepted,omitempty"`
	Done     bool      `json:"done,omitempty"`
	Begun    time.Time `json:"begun"`

	path string    // of the file; empty where nothing can be kept
	lock io.Closer // held while the transfer runs
}

// errRunning is a transfer that another process is at.
var errRunning = errors.New("another process is at this transfer")

// remember opens what is known of the transfer that id names; a new one, with a
// key of its own, where nothing is. Its close must be called. What is older than
// a day is forgotten.
func remember(id string) (*pending, error) {
	p := &pending{Begun: time.Now()}
	dir, err := stateDir()
	if err != nil {
		return p, p.renew()
	}
	dir = filepath.Join(dir, "transfers")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return p, p.renew()
	}
	forget(dir)
	name := sha256.Sum256([]byte(id))
	path := filepath.Join(dir, hex.EncodeToString(name[:16]))
	if p.lock, err = lockFile(path + ".lock"); err != nil {
		return nil, errRunning
	}
	p.path = path + ".json"
	text, err := readSmall(p.path)
	if err == nil {
		var old pending
		if json.Unmarshal(text, &old) == nil && time.Since(old.Begun) < memoryOf && old.good() {
			old.path, old.lock = p.path, p.lock
			return &old, nil
		}
	}
	return p, p.renew()
}

// good reports whether all that was read is what it must be.
func (p *pending) good() bool {
	if _, err := address.PrivateKeyFromBytes(p.Secret); err != nil {
		return false
	}
	_, err := p.peer()
	return p.Peer == "" || err == nil
}

// renew begins again, with another key.
func (p *pending) renew() error {
	key, err := address.GenerateKey()
	p.Secret, p.Code, p.Peer, p.Accepted, p.Done, p.Begun = key.Bytes(), "", "", "", false, time.Now()
	return err
}

func (p *pending) key() address.PrivateKey {
	key, _ := address.PrivateKeyFromBytes(p.Secret) // good has seen it
	return key
}

func (p *pending) peer() (address.Address, error) {
	a, err := address.Parse(p.Peer)
	if err == nil && a.Key.IsZero() {
		err = errors.New("an address without a key")
	}
	return a, err
}

// keep writes it down, in one step.
func (p *pending) keep() error {
	if p.path == "" {
		return nil
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(p.path), filepath.Base(p.path)+".*") // of mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), p.path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// drop forgets it.
func (p *pending) drop() {
	if p.path != "" {
		_ = os.Remove(p.path)
	}
}

func (p *pending) close() {
	if p.lock != nil {
		_ = p.lock.Close()
	}
}

// readSmall reads a file of a few kilobytes.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 16<<10))
}

// forget removes what is older than a day. A lock that is held stays: its file
// is as old as the transfer.
func forget(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || time.Since(info.ModTime()) < 2*memoryOf || !e.Type().IsRegular() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if lock, ok := strings.CutSuffix(path, ".lock"); ok {
			if _, err := os.Lstat(lock + ".json"); !errors.Is(err, fs.ErrNotExist) {
				continue
			}
		}
		_ = os.Remove(path)
	}
}
