package natlab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Available tells why a lab can't run here, in a sentence fit for testing.T's
// Skip, or gives nil. It tries, once per process.
func Available() error { return available() }

var available = sync.OnceValue(func() error {
	ns, err := newNamespace()
	if errors.Is(err, fs.ErrPermission) {
		if os.Getenv(inner) != "" {
			return fmt.Errorf("natlab: this system lets unprivileged users make no network namespaces (see the sysctls kernel.apparmor_restrict_unprivileged_userns and user.max_net_namespaces): %w", err)
		}
		return fmt.Errorf("natlab: no right to make network namespaces, as root or by natlab.Main: %w", err)
	}
	if err != nil {
		return fmt.Errorf("natlab: %w", err)
	}
	defer ns.close()
	err = ns.run(func() error {
		t, err := openTUN("probe")
		if err == nil {
			t.close()
		}
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV):
		return fmt.Errorf("natlab: this kernel or container has no TUN devices (modprobe tun, or give the container /dev/net/tun): %w", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("natlab: no right to use TUN devices: %w", err)
	case err != nil:
		return fmt.Errorf("natlab: %w", err)
	}
	return nil
})
