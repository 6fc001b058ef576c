package signaling

import (
	"strconv"
	"testing"

	"github.com/sallyport-net/sallyport/address"
)

// A flood on one broker delays what comes over another by one payload at most,
// and takes none of its room.
func TestLines(t *testing.T) {
	brokers := make([]address.Broker, 20)
	for n := range brokers {
		b, err := address.ParseBroker(strconv.Itoa(n))
		if err != nil {
			t.Fatal(err)
		}
		brokers[n] = b
	}
	flooded, other := brokers[0], brokers[1]
	l := newLines()
	taken := 0
	for l.put(Delivery{Broker: flooded, Payload: []byte{byte(taken)}}) {
		taken++
	}
	if taken != lineLength {
		t.Errorf("a line takes %d", taken)
	}
	if !l.put(Delivery{Broker: other, Payload: []byte("signal")}) {
		t.Fatal("another broker's has no room")
	}
	for n, want := range []string{"\x00", "signal", "\x01", "\x02"} {
		if d, ok := l.take(); !ok || string(d.Payload) != want {
			t.Errorf("number %d is %q, not %q", n, d.Payload, want)
		}
	}

	// All of them together have a bound, and one of which nothing waits has room.
	for _, b := range brokers[:len(brokers)-1] {
		for l.put(Delivery{Broker: b}) {
		}
	}
	last := brokers[len(brokers)-1]
	if !l.put(Delivery{Broker: last}) || l.put(Delivery{Broker: last}) {
		t.Error("a full house does not take one of each")
	}
	if most := linesLength + len(brokers); l.count > most {
		t.Errorf("%d wait, of %d", l.count, most)
	}
	for range l.count {
		if _, ok := l.take(); !ok {
			t.Fatalf("%d are lost", l.count)
		}
	}
	if _, ok := l.take(); ok || l.count != 0 || len(l.of) != 0 || len(l.turns) != 0 {
		t.Errorf("what is left: %+v", l)
	}
}
