package mqtt

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/sallyport-net/sallyport/signaling/proof"
)

// FuzzInbound: whatever comes in, what goes on to paho is whole packets of the
// four kinds, within their limits, that paho reads without complaint; and it
// does not depend on how the bytes are cut.
func FuzzInbound(f *testing.F) {
	const topic, limit = "sallyport/1/a", 16
	seeds := []string{
		"", "20020000", "20020000900300010080", "20020000d000d000", "20020000e000", "2002000030",
		"20020000300f000d73616c6c79706f72742f312f61",
		"200200003011000d73616c6c79706f72742f312f616869",
		"200200003111000d73616c6c79706f72742f312f616869", // retained
		"200200003211000d73616c6c79706f72742f312f616869", // QoS 1
		"200200003011000d73616c6c79706f72742f312f626869", // another topic
		"20020000303f", "20020000" + "30ffffff7f", "20020000" + "30ffffffff7f", "d000", "20020087", "200200009004000100ff",
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	// A challenge, two of them, and a cut one.
	challenge := hex.EncodeToString(proof.Challenge{7}.Packet())
	seeds = append(seeds, "20020000"+challenge, "20020000"+challenge+challenge, "20020000d000"+challenge, "20020000"+challenge[:60])
	for _, s := range seeds {
		raw, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var skipped, skippedSlow atomic.Uint64
		in := newInbound(bytes.NewReader(data), topic, limit, false, &skipped)
		inSlow := newInbound(iotest.OneByteReader(bytes.NewReader(data)), topic, limit, false, &skippedSlow)
		out, err := io.ReadAll(in)
		slow, _ := io.ReadAll(inSlow)
		if !bytes.Equal(out, slow) || skipped.Load() != skippedSlow.Load() || len(in.asked) != len(inSlow.asked) {
			t.Fatalf("%x and, byte by byte, %x", out, slow)
		}
		_ = err // any
		r := bytes.NewReader(out)
		for first := true; r.Len() > 0; first = false {
			p, err := packets.ReadPacket(r)
			if err != nil {
				t.Fatalf("paho chokes on %x: %v", out, err)
			}
			switch p := p.(type) {
			case *packets.ConnackPacket:
				if !first || packets.ConnackReturnCodes[p.ReturnCode] == "" {
					t.Fatalf("CONNACK %+v", p)
				}
			case *packets.PublishPacket:
				if p.TopicName != topic || len(p.Payload) > limit || p.Retain || p.Qos != 0 {
					t.Fatalf("PUBLISH %+v", p)
				}
			case *packets.SubackPacket:
				if len(p.ReturnCodes) != 1 {
					t.Fatalf("SUBACK %+v", p)
				}
			case *packets.PingrespPacket:
			default:
				t.Fatalf("let %v through", p)
			}
			if _, connack := p.(*packets.ConnackPacket); first && !connack {
				t.Fatalf("began with %v", p)
			}
		}
	})
}

func TestInboundPassesPackets(t *testing.T) {
	good := "20020000" + "9003000100" + "d000" + "3011000d73616c6c79706f72742f312f616869"
	raw, _ := hex.DecodeString(good)
	var skipped atomic.Uint64
	out, err := io.ReadAll(newInbound(bytes.NewReader(raw), "sallyport/1/a", 16, false, &skipped))
	if err != nil || !bytes.Equal(out, raw) || skipped.Load() != 0 {
		t.Errorf("%x, %d skipped, %v; want %x", out, skipped.Load(), err, raw)
	}
}

// What is skipped is not held: a broker may well send 256 MB.
func TestInboundSkipsWithoutMemory(t *testing.T) {
	const size = 0x0fffffff
	head, _ := hex.DecodeString("20020000" + "30ffffff7f")
	src := io.MultiReader(bytes.NewReader(head), io.LimitReader(zeros{}, size), bytes.NewReader([]byte{0xd0, 0}))
	var skipped atomic.Uint64
	in := newInbound(src, "sallyport/1/a", 16, false, &skipped)
	out, err := io.ReadAll(in)
	if err != nil || hex.EncodeToString(out) != "20020000d000" || skipped.Load() != 1 {
		t.Errorf("%x, %v, %d skipped", out, err, skipped.Load())
	}
	if cap(in.buf) > 1024 {
		t.Errorf("a buffer of %d bytes is left", cap(in.buf))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestInboundGivesReadErrors(t *testing.T) {
	boom := errors.New("boom")
	for _, s := range []string{"", "20", "2002", "200200", "20020000", "2002000030", "2002000030ff", "200200003003"} {
		raw, _ := hex.DecodeString(s)
		var skipped atomic.Uint64
		_, err := io.ReadAll(newInbound(io.MultiReader(bytes.NewReader(raw), iotest.ErrReader(boom)), "t", 16, false, &skipped))
		if !errors.Is(err, boom) {
			t.Errorf("%q: %v", s, err)
		}
	}
}
