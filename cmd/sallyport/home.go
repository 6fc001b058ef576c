package main

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

// configDir is where a user's key and configuration live.
func configDir() (string, error) { return configDirOf(os.Getenv("XDG_CONFIG_HOME"), os.UserConfigDir) }

// configDirOf goes by XDG_CONFIG_HOME on every system, as stateDir does:
// os.UserConfigDir does not on macOS and Windows, where homes apart, such as
// those of the demonstration, would be one otherwise.
func configDirOf(xdg string, usual func() (string, error)) (string, error) {
	if filepath.IsAbs(xdg) {
		return filepath.Join(xdg, "sallyport"), nil
	}
	dir, err := usual()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "sallyport"), nil
}

// stateDir is where the machine id lives (XDG Base Directory, XDG_STATE_HOME).
func stateDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "sallyport"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local", "state", "sallyport"), nil
}

// loadKey gives the node's identity, a new one at the first run.
func (a *app) loadKey(path string) (address.PrivateKey, error) {
	if path == "" {
		dir, err := configDir()
		if err != nil {
			return address.PrivateKey{}, failed(err, "try --key FILE", "there is no home directory to keep a key in")
		}
		path = filepath.Join(dir, "key")
	}
	key, created, err := address.LoadOrCreateKey(path)
	var unusable *fs.PathError
	if errors.As(err, &unusable) {
		return key, failed(err, "try --key with another file", "the key file %q can't be used: %v", path, unusable.Err)
	}
	if err != nil {
		return key, failed(errors.Unwrap(err), "try --key with another file", "%v", err)
	}
	if created {
		a.say("This machine has a new key, in %s.", path)
	}
	return key, nil
}

// identity is the key of a run: that of the transfer that goes on, or the user's.
func (a *app) identity(f *nodeFlags) (address.PrivateKey, error) {
	if !f.as.IsZero() {
		return f.as, nil
	}
	return a.loadKey(f.key)
}

// loadMachineID gives the id by which nodes of one machine know one another;
// none where there is nowhere to keep it.
func (a *app) loadMachineID() string {
	dir, err := stateDir()
	if err != nil {
		return ""
	}
	id, err := address.LoadOrCreateMachineID(filepath.Join(dir, "machine-id"))
	if err != nil {
		a.say("Note: no machine id: %v.", err)
		return ""
	}
	return id
}

// wallClock is time.Now, shifted by SALLYPORT_CLOCK_OFFSET. Network namespaces
// share the kernel's clock, so that tests of wrong clocks need this.
func wallClock() (func() time.Time, error) {
	text := os.Getenv("SALLYPORT_CLOCK_OFFSET")
	if text == "" {
		return time.Now, nil
	}
	offset, err := time.ParseDuration(text)
	if err != nil {
		return nil, misused("try SALLYPORT_CLOCK_OFFSET=-90s", "SALLYPORT_CLOCK_OFFSET: %v", err)
	}
	return func() time.Time { return time.Now().Add(offset) }, nil
}

// loopbackName is what this system calls its loopback interface.
func loopbackName() string {
	list, _ := net.Interfaces()
	for _, i := range list {
		if i.Flags&net.FlagLoopback != 0 {
			return i.Name
		}
	}
	return "lo"
}
