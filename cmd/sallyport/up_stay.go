package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/cmd/sallyport/internal/spare"
	"github.com/sallyport-net/sallyport/nat/errno"
	"github.com/sallyport-net/sallyport/node"
	"github.com/sallyport-net/sallyport/node/api"
)

// errDown is why a node ends that was told to.
var errDown = errors.New("told to go down")

// stay is the node itself, in the background or not.
func (u *up) stay(ctx context.Context) error {
	files, err := upPaths()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(files.lock), 0o700); err != nil {
		return homeTrouble(err, filepath.Dir(files.lock))
	}
	lock, err := takeLock(files.lock)
	if err != nil {
		return err
	}
	defer lock.Close()
	ignoreHangUp()
	if u.detached {
		log, err := openLog(files.log)
		if err != nil {
			return homeTrouble(err, files.log)
		}
		u.app.out, u.app.err = &lines{w: io.Discard}, log // until the process ends
	}
	token, err := loadToken(files.token)
	if err != nil {
		return err
	}
	tcp, err := u.listenTCP()
	if err != nil {
		return err
	}
	if tcp != nil {
		defer tcp.Close()
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	err = u.run(ctx, files, token, tcp, func() { end(errDown) })
	if errors.Is(context.Cause(ctx), errDown) {
		return nil
	}
	return err
}

// run runs the node and serves it until ctx ends.
func (u *up) run(ctx context.Context, files upFiles, token string, tcp net.Listener, shutdown func()) error {
	admission, err := parseAllow(u.allow)
	if err != nil {
		return err
	}
	cfg, err := u.nodeConfig(ctx, &u.flags)
	if err != nil {
		return err
	}
	cfg.Admission, cfg.Tunnels = &admission, u.sinks.tunnels()
	if cfg.Birthday, err = parseBirthday(u.birth); err != nil {
		return err
	}
	if cfg.Relaying, err = u.relay.relaying(); err != nil {
		return err
	}
	resolver, err := u.resolver(&u.flags)
	if err != nil {
		return err
	}
	nd, err := u.startNode(ctx, cfg, false)
	if err != nil {
		return err
	}
	defer nd.Close()
	defer spare.WhileIdle()()
	server, err := api.New(api.Config{
		Node: nd, Token: token, Version: u.version(), Shutdown: shutdown, Logger: cfg.Logger,
		Forward: u.forwardBy(nd), Why: u.whyBy(nd, cfg),
		Explain: func(err error) api.Problem { return problemOf(u.explainCall(nd, err)) },
		Resolve: func(ctx context.Context, target string) (address.Address, string, error) {
			found, err := resolver.Resolve(ctx, target)
			return found.Address, found.Warning, err
		},
	})
	if err != nil {
		return failed(err, "try it again with -v", "the API did not start: %v", err)
	}
	defer server.Close()
	local, err := listenUnix(files.socket)
	if err != nil {
		return err
	}
	defer os.Remove(files.socket)
	served := make(chan error, 2)
	if tcp != nil {
		go func() { served <- server.ServeTCP(tcp) }()
	}
	go func() { served <- server.ServeUnix(local) }()
	if !u.detached {
		u.announce(nd.Address())
	}
	keeper, err := u.keepNames(&u.flags, cfg)
	if err != nil {
		return err
	}
	defer keeper.Close()
	u.warnHealth(nd)
	stop := context.AfterFunc(ctx, func() { _ = server.Close(); _ = nd.Close() })
	defer stop()
	defer u.serving.Wait()
	following, end := context.WithCancel(ctx)
	defer end()
	if !u.detached {
		u.serving.Go(func() { u.follow(following, nd, nd.Address()) })
	}
	to, err := u.sinks.sink(u.app, admission.Everyone(), func() sink { return nil })
	if err != nil {
		return err
	}
	return u.acceptAll(ctx, nd, func(c net.Conn) {
		if conn := c.(*node.Conn); u.sinks.plain() || conn.Tunnel() {
			u.serve(ctx, conn, to)
		} else {
			server.Take(conn)
		}
	})
}

// version is what this program is, as the API tells it.
func (u *up) version() api.Version {
	info, _ := debug.ReadBuildInfo()
	v := versionOf(info)
	return api.Version{Version: v.Version, Go: v.Go, System: v.System}
}

// takeLock makes us the one node in the background, and writes down who that is.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, homeTrouble(err, path)
	}
	ok, err := tryLock(f)
	if err != nil || !ok {
		_ = f.Close()
		if err != nil {
			return nil, homeTrouble(err, path)
		}
		return nil, alreadyUp(lockedBy(path))
	}
	if err = f.Truncate(0); err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		_ = f.Close()
		return nil, homeTrouble(err, path)
	}
	return f, nil
}

// lockedBy reads the process id from a lock; 0 where there is none.
func lockedBy(path string) int {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, 32))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return max(pid, 0)
}

// listenTCP listens for the API, if it shall.
func (u *up) listenTCP() (net.Listener, error) {
	at := u.listen
	switch at {
	case "none":
		return nil, nil
	case "":
		at = defaultListen
	}
	l, err := net.Listen("tcp4", at)
	if u.listen == "" && errno.Is(err, syscall.EADDRINUSE) {
		u.say("Note: %s is taken, so that the API is on another port.", at)
		l, err = net.Listen("tcp4", "127.0.0.1:0")
	}
	if err != nil {
		return nil, failed(err, "try another --listen, or --listen none", "the API can't listen on %s", at)
	}
	return l, nil
}

// listenUnix listens on a socket that nobody else may open, from its first moment
// on: it is made in a private directory, and moved into place. Whoever calls has
// the lock, so that a socket there is one that was left behind.
func listenUnix(path string) (net.Listener, error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".")
	if err != nil {
		return nil, homeTrouble(err, path)
	}
	defer os.RemoveAll(dir)
	made := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, failed(err, "try XDG_STATE_HOME with a shorter path", "the control socket %q can't be made: %s", path, reasonOf(err))
	}
	l.SetUnlinkOnClose(false)
	if err = os.Chmod(made, 0o600); err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		_ = l.Close()
		return nil, homeTrouble(err, path)
	}
	return l, nil
}

// loadToken reads the API's token, or makes one.
func loadToken(path string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", homeTrouble(err, filepath.Dir(path))
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	switch {
	case err == nil:
		token := rand.Text()
		_, err = f.WriteString(token + "\n")
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(path)
			return "", homeTrouble(err, path)
		}
		return token, nil
	case !errors.Is(err, fs.ErrExist):
		return "", homeTrouble(err, path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", homeTrouble(err, path)
	}
	if privateModes && info.Mode().Perm()&0o077 != 0 {
		return "", failed(nil, "chmod 600 "+path, "others may read the API's token, %s", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", homeTrouble(err, path)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < 20 || len(token) > 200 || strings.ContainsAny(token, " \t\r\n") {
		return "", failed(nil, "remove it, and a new one is made", "%s is no token: want 20 to 200 characters without spaces", path)
	}
	return token, nil
}
