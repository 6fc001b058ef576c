package address

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// A key file is text: comment lines, of which one names the node id, and the
// scalar in 64 hex digits.
const (
	keyFileAdvice = "# Sallyport private key. Whoever reads it can be this node: keep it secret, keep a copy."
	keyFileID     = "# node id: "
	maxStateFile  = 4096 // bytes of a key or machine id file
)

// LoadOrCreateKey reads the key file at path, or makes a new identity and
// writes it there, with mode 0600, in a directory that is made with mode 0700
// if it is missing. It never overwrites anything; of several processes that
// create at once, one does and the others read its key. What stands in the way
// is an error: a file that others may read (on Unix), or that is no key file.
func LoadOrCreateKey(path string) (key PrivateKey, created bool, err error) {
	key, err = LoadKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, false, err
	}
	key, err = GenerateKey()
	if err != nil {
		return PrivateKey{}, false, err
	}
	text := fmt.Sprintf("%s\n%s%s\n%x\n", keyFileAdvice, keyFileID, key.Public(), key.Bytes())
	err = createFile(path, []byte(text), os.Link)
	if errors.Is(err, fs.ErrExist) {
		key, err = LoadKey(path)
		return key, false, err
	}
	if err != nil {
		return PrivateKey{}, false, fmt.Errorf("create key file: %w", err)
	}
	return key, true, nil
}

// LoadKey reads a key file. The error is fs.ErrNotExist where there is none.
func LoadKey(path string) (PrivateKey, error) {
	text, mode, err := readStateFile(path)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("read key file: %w", err)
	}
	if runtime.GOOS != "windows" && mode.Perm()&0o077 != 0 {
		return PrivateKey{}, fmt.Errorf("key file %q has mode %04o, so others can use it: chmod 600 it, or make a new key if others may have read it", path, mode.Perm())
	}
	key, err := parseKeyFile(text)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("key file %q: %w; restore it from a copy, or move it away to become a new node", path, err)
	}
	return key, nil
}

// parseKeyFile never quotes the text: it may hold a secret.
func parseKeyFile(text string) (PrivateKey, error) {
	var key PrivateKey
	var id string
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if v, ok := strings.CutPrefix(line, keyFileID); ok {
			id = v
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if !key.IsZero() {
			return PrivateKey{}, fmt.Errorf("line %d is one too many", n+1)
		}
		scalar, err := hex.DecodeString(line)
		if err != nil {
			return PrivateKey{}, fmt.Errorf("line %d is not 64 hex digits", n+1)
		}
		if key, err = PrivateKeyFromBytes(scalar); err != nil {
			return PrivateKey{}, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	if key.IsZero() {
		return PrivateKey{}, errors.New("there is no key in it")
	}
	if id != "" && id != key.Public().String() {
		return PrivateKey{}, fmt.Errorf("its key belongs to node id %s, not to %q as it says", key.Public(), shorten(id, foundShown))
	}
	return key, nil
}

// readStateFile reads a small regular file. Anything else, a pipe for one,
// could block or have no end.
func readStateFile(path string) (text string, mode fs.FileMode, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", 0, err
	}
	if !info.Mode().IsRegular() {
		return "", 0, fmt.Errorf("%q is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil { // of what was opened, not of what was there before
		return "", 0, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxStateFile+1))
	if err != nil {
		return "", 0, err
	}
	if len(b) > maxStateFile {
		return "", 0, fmt.Errorf("%q has more than %d bytes", path, maxStateFile)
	}
	return string(b), info.Mode(), nil
}

// createFile makes a file with mode 0600 and all of text in it, or nothing:
// fs.ErrExist where something has that name. Nobody ever sees half of it: it
// is written under another name, created O_EXCL, and linked into place, which
// fails where the name is taken.
func createFile(path string, text []byte, link func(from, to string) error) error {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, base+".new-*") // O_EXCL, 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := writeAndClose(f, text); err != nil {
		return err
	}
	err = link(f.Name(), path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// A file system without hard links. A process that reads in the instant
	// between the two calls is told that there is no key in the file.
	f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := writeAndClose(f, text); err != nil {
		os.Remove(path)
		return err
	}
	return nil
}

func writeAndClose(f *os.File, text []byte) error {
	_, err := f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
