//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling/broker/brokertest"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// certificate IP: make cert.pem and cert.key, self-signed.
func certificateCmd(ts *testscript.TestScript, neg bool, args []string) {
	c, err := brokertest.NewCertificate(args[0])
	ts.Check(err)
	ts.Check(c.Write(ts.MkAbs(".")))
}

// activated are the sockets that a script holds for a service, by its name, as
// systemd does: they outlive the process.
type activated map[string]*held

type held struct {
	files []*os.File
	flags []string
	told  *net.UnixConn // NOTIFY_SOCKET
}

func (a activated) close() {
	for _, h := range a {
		for _, f := range h.files {
			f.Close()
		}
		h.told.Close()
	}
}

// activate NAME COMMAND…: start it with sockets for a broker, a STUN server and
// a relay, and flags that name their ports. Names that differ in a final number
// share the sockets. What the service tells its manager is in NAME.notify.
func activateCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: activate NAME COMMAND…")
	}
	all := ts.Value("activated").(activated)
	name := strings.TrimRight(args[0], "0123456789")
	h := all[name]
	if h == nil {
		h = holdSockets(ts)
		all[name] = h
	}
	notify, err := os.Create(ts.MkAbs(args[0] + ".notify"))
	ts.Check(err)
	go func() {
		defer notify.Close()
		buf := make([]byte, 1024)
		for {
			n, err := h.told.Read(buf)
			if err != nil {
				return
			}
			fmt.Fprintf(notify, "%s\n", buf[:n])
			if string(buf[:n]) == "STOPPING=1" {
				return
			}
		}
	}()
	words := append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh"}, args[1:]...)
	c := command(ts, append(words, h.flags...))
	c.Env = append(c.Env, "LISTEN_FDS="+strconv.Itoa(len(h.files)), "NOTIFY_SOCKET="+h.told.LocalAddr().String())
	c.ExtraFiles = h.files
	startIt(ts, args[0], false, c)
}

func holdSockets(ts *testscript.TestScript) *held {
	h := &held{}
	var err error
	h.told, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(ts.Getenv("WORK"), "manager"), Net: "unixgram"})
	ts.Check(err)
	keep := func(f *os.File, err error) {
		ts.Check(err)
		h.files = append(h.files, f)
	}
	for _, flag := range []string{"--mqtt-port", "--turn-port", "--stun-port", "--alternate-port"} {
		for {
			port, err := strconv.Atoi(freePort())
			ts.Check(err)
			ip := net.IPv4(127, 0, 0, 1)
			udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: ip, Port: port})
			if err != nil {
				continue
			}
			tcp, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: ip, Port: port})
			if err != nil {
				udp.Close()
				continue
			}
			keep(tcp.File())
			if flag == "--stun-port" || flag == "--alternate-port" {
				keep(udp.File())
			}
			tcp.Close()
			udp.Close()
			h.flags = append(h.flags, flag, strconv.Itoa(port))
			break
		}
	}
	return h
}

// get STATUS URL [REGEXP]: fetch it, to standard output; with REGEXP, until it
// matches that.
func getCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: get STATUS URL [REGEXP]")
	}
	re, err := regexp.Compile("(?m)" + strings.Join(args[2:], ""))
	ts.Check(err)
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	var text []byte
	waitFor(ts, func() bool {
		resp, err := client.Get(args[1])
		ts.Check(err)
		defer resp.Body.Close()
		text, err = io.ReadAll(resp.Body)
		ts.Check(err)
		if strconv.Itoa(resp.StatusCode) != args[0] {
			ts.Fatalf("status %s, not %s", resp.Status, args[0])
		}
		return re.Match(text)
	}, func() string { return fmt.Sprintf("%s does not match %q:\n%s", args[1], args[2:], text) })
	_, err = ts.Stdout().Write(text)
	ts.Check(err)
}

// spy BROKER TARGET: try to listen on the target's topic without its key. The
// error goes to standard output; with !, no error is expected.
func spyCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: spy BROKER TARGET")
	}
	target, err := address.Parse(args[1])
	ts.Check(err)
	own, err := address.GenerateKey()
	ts.Check(err)
	c, err := mqtt.New(mqtt.Config{Key: target.Key, Sign: own.Sign})
	ts.Check(err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	leave, err := c.Join(ctx, []address.Broker{{URL: args[0]}})
	switch {
	case err == nil:
		leave()
		if !neg {
			ts.Fatalf("it listens")
		}
	case neg:
		ts.Fatalf("%v", err)
	default:
		fmt.Fprintln(ts.Stdout(), err)
	}
}
