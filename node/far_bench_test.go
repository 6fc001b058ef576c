package node_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat/natlab"
)

// BenchmarkFar carries 100 MiB from one host to another in the laboratory, both
// behind NATs, 80 ms there and back: by plain TCP, crypto/tls, one stream of a
// session, and "sallyport send" to "sallyport receive", in turns:
//
//	go test ./node -run '^$' -bench Far -benchtime 5x
//
// tcp-MB/s and so on are medians; x… are the medians of the rounds' ratios to
// plain TCP. The time of "whole" is from the start of "receive" to the end of both
// commands, that of "send" from when the two are connected.
func BenchmarkFar(b *testing.B) {
	const size = 100 << 20
	w := newWorld(b)
	p := &pairs{t: b, a: newIdentity(b), b: newIdentity(b)}
	f := &far{w: w, p: p, beyondX: w.nat(natlab.NAT{}), beyondY: w.nat(natlab.NAT{}), dir: b.TempDir(), port: 20000}
	f.x, f.y = w.host("x", f.beyondX), w.host("y", f.beyondY)
	f.program = filepath.Join(f.dir, "sallyport")
	if out, err := exec.Command("go", "build", "-o", f.program, "../cmd/sallyport").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	content := make([]byte, size)
	_, _ = rand.Read(content)
	p.must(os.WriteFile(filepath.Join(f.dir, "big"), content, 0o600))
	var sent float64
	ways := []struct {
		name string
		do   func() float64
	}{
		{"tcp", func() float64 {
			x, y := f.met()
			defer x.Close()
			defer y.Close()
			return p.flow(x, y, size, 64<<10)
		}},
		{"tls", func() float64 {
			x, y := p.tlsOver(f.met())
			defer x.Close()
			defer y.Close()
			return p.flow(x, y, size, 64<<10)
		}},
		{"session", func() float64 {
			j := p.session(f.met())
			defer j.close()
			x, y := j.stream()
			return p.flow(x, y, size, 64<<10)
		}},
		{"whole", func() float64 {
			took, after := f.send(content)
			sent = size / after.Seconds()
			return size / took.Seconds()
		}},
		{"send", func() float64 { return sent }},
	}
	found := map[string][]float64{}
	for b.Loop() {
		for _, way := range ways {
			found[way.name] = append(found[way.name], way.do())
		}
	}
	for _, way := range ways {
		b.ReportMetric(middle(found[way.name])/1e6, way.name+"-MB/s")
		var each []float64
		for k := range found[way.name] {
			each = append(each, found[way.name][k]/found["tcp"][k])
		}
		ratio := middle(each)
		b.ReportMetric(ratio, "x"+way.name)
		if ratio < 0.8 && (way.name == "session" || way.name == "send") { // 0.9 is the goal, and the rest for what else the machine does
			b.Errorf("%s has %.2f of plain TCP", way.name, ratio)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// far is two hosts in the laboratory, each behind a NAT.
type far struct {
	w                *world
	p                *pairs
	x, y             *natlab.Host
	beyondX, beyondY *natlab.Box
	dir              string // with the program, and what is sent
	program          string
	port             int // the last one used
}

// met gives both ends of a TCP connection between the two, by simultaneous open:
// the NATs keep ports.
func (f *far) met() (x, y duplex) {
	f.port++
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	type half struct {
		c   net.Conn
		err error
	}
	dial := func(from *natlab.Host, to *natlab.Box) chan half {
		done := make(chan half, 1)
		go func() {
			d := &net.Dialer{LocalAddr: &net.TCPAddr{Port: f.port}}
			c, err := from.Dial(ctx, d, "tcp", netip.AddrPortFrom(to.Externals()[0], uint16(f.port)).String())
			done <- half{c, err}
		}()
		return done
	}
	a, b := dial(f.x, f.beyondY), dial(f.y, f.beyondX)
	l, r := <-a, <-b
	f.p.must(errors.Join(l.err, r.err))
	return l.c.(*net.TCPConn), r.c.(*net.TCPConn)
}

// send has the program send the file, and gives the time that it took, and that
// since the two ends were connected.
func (f *far) send(content []byte) (took, after time.Duration) {
	command := func(on *natlab.Host, words ...string) *natlab.Cmd {
		words = append(words, "--json", "--no-lan", "--broker", f.w.broker, "--stun", f.w.stun[0], "--stun", f.w.stun[1])
		c := on.Command(context.Background(), f.program, words...)
		home := filepath.Join(f.dir, on.Name())
		c.Dir = f.dir
		c.Env = append(os.Environ(), "XDG_CONFIG_HOME="+home, "XDG_STATE_HOME="+home, "HOME="+home)
		return c
	}
	sending := command(f.x, "send", "--new", "big")
	out, err := sending.StdoutPipe()
	f.p.must(err)
	told, err := sending.StderrPipe()
	f.p.must(err)
	f.p.must(sending.Start())
	var shown struct{ Code string }
	line, err := bufio.NewReader(out).ReadBytes('\n')
	f.p.must(err)
	f.p.must(json.Unmarshal(line, &shown))
	connected := make(chan time.Time, 1)
	go func() {
		var at time.Time
		for lines := bufio.NewScanner(told); lines.Scan(); {
			if strings.Contains(lines.Text(), `"event":"connected"`) {
				at = time.Now()
			}
		}
		connected <- at
	}()
	time.Sleep(2 * time.Second) // its node is there
	begun := time.Now()
	f.p.must(command(f.y, "receive", "--yes", "--output", "inbox", shown.Code).Run())
	met := <-connected
	f.p.must(sending.Wait())
	took, after = time.Since(begun), time.Since(met)
	got, err := os.ReadFile(filepath.Join(f.dir, "inbox", "big"))
	f.p.must(err)
	if met.IsZero() || !bytes.Equal(got, content) {
		f.p.t.Fatal("what was received is not what was sent")
	}
	f.p.must(os.RemoveAll(filepath.Join(f.dir, "inbox")))
	return took, after
}
