//go:build unix

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/net/proxy"
)

// exchange says something on a connection to addr, ends it, and gives what is
// said in return.
func exchange(addr, text string) (string, error) {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

// [!] converse ADDR TEXT: say it there, end, and print what comes back. With !,
// the connection must be reset, and soon.
func converseCmd(ts *testscript.TestScript, neg bool, args []string) {
	got, err := exchange(args[0], strings.Join(args[1:], " "))
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		ts.Fatalf("%s hangs", args[0])
	case neg && err == nil:
		ts.Fatalf("%s has answered %q and ended", args[0], got)
	case !neg:
		ts.Check(err)
	}
	fmt.Fprint(ts.Stdout(), got)
}

// parallel N ADDR: N conversations with the service at once, each of its own
// length.
func parallelCmd(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	wrong := make([]error, n)
	var all sync.WaitGroup
	for k := range n {
		all.Go(func() {
			size := 1 + 1000*k
			got, err := exchange(args[1], strings.Repeat("x", size))
			if want := fmt.Sprintf("the service has read %d bytes\n", size); err == nil && got != want {
				err = fmt.Errorf("%q, not %q", got, want)
			}
			wrong[k] = err
		})
	}
	all.Wait()
	ts.Check(errors.Join(wrong...))
}

// kept are the connections that a script holds open, by name.
type kept map[string]net.Conn

func (k kept) close() {
	for _, c := range k {
		c.Close()
	}
}

// hold NAME ADDR: connect, say something, and keep the connection.
func holdCmd(ts *testscript.TestScript, neg bool, args []string) {
	c, err := net.DialTimeout("tcp", args[1], patience)
	ts.Check(err)
	_, err = io.WriteString(c, "held")
	ts.Check(err)
	ts.Value("held").(kept)[args[0]] = c
}

// broken NAME: the connection is reset, or is about to be.
func brokenCmd(ts *testscript.TestScript, neg bool, args []string) {
	c := ts.Value("held").(kept)[args[0]]
	_ = c.SetDeadline(time.Now().Add(patience))
	if text, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		ts.Fatalf("%s has read %q, and then %v", args[0], text, err)
	}
}

// closed ADDR: wait until nobody listens there.
func closedCmd(ts *testscript.TestScript, neg bool, args []string) {
	waitFor(ts, func() bool {
		c, err := net.Dial("tcp", args[0])
		if err == nil {
			c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	}, func() string { return args[0] + " is still open" })
}

// website VARIABLE: serve HTTP, with /big, and set the variable to its address.
func websiteCmd(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte("x"), 1<<20))
	})}
	go func() { _ = s.Serve(l) }() // until Close
	ts.Defer(func() { _ = s.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// [!] getvia PROXY HOST:PORT: fetch /big there by way of a SOCKS proxy. HOST may
// stand before an address, whose port is then meant. With !, it must fail, and
// the error goes to standard output.
func getViaCmd(ts *testscript.TestScript, neg bool, args []string) {
	host, rest, _ := strings.Cut(args[1], ":")
	if _, port, ok := strings.Cut(rest, ":"); ok {
		rest = port
	}
	d, err := proxy.SOCKS5("tcp", args[0], nil, proxy.Direct)
	ts.Check(err)
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: d.(proxy.ContextDialer).DialContext, DisableKeepAlives: true}}
	resp, err := client.Get("http://" + net.JoinHostPort(host, rest) + "/big")
	if neg {
		if err == nil {
			ts.Fatalf("status %s", resp.Status)
		}
		fmt.Fprintln(ts.Stdout(), err)
		return
	}
	ts.Check(err)
	defer resp.Body.Close()
	n, err := io.Copy(ts.Stdout(), resp.Body)
	ts.Check(err)
	if n != 1<<20 {
		ts.Fatalf("%d bytes", n)
	}
}

// echoService is a program: it sends back what comes to the address given.
func echoService() {
	l, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(c, c)
		}()
	}
}

// echoClient is a program: it says number after number to the address given,
// and hears each come back, until the file given exists.
func echoClient() {
	c, err := net.DialTimeout("tcp", os.Args[1], patience)
	if err != nil {
		log.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(2 * patience))
	var back [8]byte
	for n := uint64(1); ; n++ {
		said := binary.BigEndian.AppendUint64(nil, n)
		if _, err := c.Write(said); err != nil {
			log.Fatal(err)
		}
		if _, err := io.ReadFull(c, back[:]); err != nil {
			log.Fatal(err)
		}
		if !bytes.Equal(said, back[:]) {
			log.Fatalf("%x came back for %x", back, said)
		}
		if n == 1 {
			fmt.Println("going")
		}
		if _, err := os.Stat(os.Args[2]); err == nil {
			break
		}
		time.Sleep(time.Millisecond) // paced, not waited for
	}
	_ = c.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		log.Fatalf("the end is %x, %v", rest, err)
	}
	fmt.Println("ok")
}
