package mqtt_test

import (
	"context"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
	"github.com/sallyport-net/sallyport/signaling/broker"
	"github.com/sallyport-net/sallyport/signaling/mqtt"
)

// BenchmarkDelivery is one payload of 1 kB from Publish to Deliveries through
// a broker on loopback, one after the other.
func BenchmarkDelivery(b *testing.B) {
	br := startBroker(b, broker.Config{PublishRate: 1e9, PublishBurst: 1e9})
	key := newKey(b)
	brokers := at(br.URL())
	from := newChannel(b, mqtt.Config{Brokers: brokers})
	to := newChannel(b, mqtt.Config{Key: key, Brokers: brokers})
	untilOpen(b, from, 1)
	untilOpen(b, to, 1)
	payload := make([]byte, 1024)
	ctx := context.Background()
	var took []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		begin := time.Now()
		if err := from.Publish(ctx, key, brokers, payload); err != nil {
			b.Fatal(err)
		}
		<-to.Deliveries()
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-median")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
}

// memory is the heap and the stacks in use, and the goroutines.
func memory() (bytes float64, goroutines int) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse), runtime.NumGoroutine()
}

// openIdle opens n connections, and reports what one of them costs here. The
// other end is a server that costs one goroutine per connection and no buffer,
// which are taken off.
func openIdle(b *testing.B, scheme string, open func(url string)) {
	addr := listen(b, func(c net.Conn) {
		if accept(b, c) != nil {
			hold4(c)
		}
	})
	const n = 100
	for b.Loop() {
		before, goroutines := memory()
		for range n {
			open(scheme + "://" + addr)
		}
		after, all := memory()
		b.ReportMetric(float64(all-goroutines)/n-1, "goroutines/conn")
		b.ReportMetric((after-before)/n/1024, "kB/conn")
	}
}

// hold4 is hold with a small buffer.
func hold4(c net.Conn) {
	buf := make([]byte, 4)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

// BenchmarkIdleConnection is what an open broker connection costs a channel.
func BenchmarkIdleConnection(b *testing.B) {
	openIdle(b, "tcp", func(url string) {
		untilOpen(b, newChannel(b, mqtt.Config{Brokers: at(url)}), 1)
	})
}

// BenchmarkIdlePaho is what paho alone costs, with its defaults.
func BenchmarkIdlePaho(b *testing.B) {
	openIdle(b, "tcp", func(url string) {
		c := paho.NewClient(paho.NewClientOptions().AddBroker(url))
		c.Connect().Wait()
		c.Subscribe(signaling.Topic(address.Key{})+"x", 0, nil).Wait()
		b.Cleanup(func() { c.Disconnect(100) })
	})
}

// BenchmarkOpen is New to open, SUBSCRIBE included, and Close.
func BenchmarkOpen(b *testing.B) {
	br := startBroker(b, broker.Config{})
	key := newKey(b)
	b.ReportAllocs()
	for b.Loop() {
		c, err := mqtt.New(mqtt.Config{Key: key, Brokers: at(br.URL())})
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Wait(context.Background()); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

// BenchmarkOpenProven is BenchmarkOpen at a broker that wants the key proven.
func BenchmarkOpenProven(b *testing.B) {
	br := startStrict(b, broker.Config{})
	k := newPrivate(b)
	b.ReportAllocs()
	for b.Loop() {
		c, err := mqtt.New(owner(k, br.URL()))
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Wait(context.Background()); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}
