package mqtt

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling"
)

func delivery(broker, n int) signaling.Delivery {
	return signaling.Delivery{Broker: address.Broker{Index: broker}, Payload: fmt.Append(nil, n)}
}

func TestQueueTakesTurns(t *testing.T) {
	q := newQueue(3)
	for i := range 10 {
		q.put(delivery(1, i))
	}
	q.put(delivery(2, 0))
	q.put(delivery(3, 0))
	q.put(delivery(3, 1))
	got := ""
	for {
		d, ok := q.take()
		if !ok {
			break
		}
		got += fmt.Sprintf("%d/%s ", d.Broker.Index, d.Payload)
	}
	if want := "1/7 2/0 3/0 1/8 3/1 1/9 "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if q.drops() != 7 {
		t.Errorf("%d dropped, want 7", q.drops())
	}
	q.put(delivery(1, 1))
	q.close()
	q.put(delivery(1, 2))
	if _, ok := q.take(); ok {
		t.Error("something in a closed queue")
	}
}

// Against a model of one slice per broker.
func TestQueueModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		q := newQueue(limit)
		model := map[int][]string{}
		waiting := 0
		for i := range rapid.IntRange(0, 200).Draw(t, "steps") {
			if b := rapid.IntRange(0, 4).Draw(t, "broker"); b > 0 {
				d := delivery(b, i)
				q.put(d)
				if model[b] = append(model[b], string(d.Payload)); len(model[b]) > limit {
					model[b] = model[b][1:]
				} else {
					waiting++
				}
				continue
			}
			d, ok := q.take()
			if ok != (waiting > 0) {
				t.Fatalf("took %v with %d waiting", ok, waiting)
			}
			if ok {
				lane := model[d.Broker.Index]
				if len(lane) == 0 || lane[0] != string(d.Payload) {
					t.Fatalf("took %s, want the first of %v", d.Payload, lane)
				}
				model[d.Broker.Index] = lane[1:]
				waiting--
			}
		}
	})
}

func TestBackoff(t *testing.T) {
	for _, x := range []struct {
		n    int
		r    float64
		want time.Duration
	}{
		{0, 0, time.Second}, {1, 0, 2 * time.Second}, {5, 0, 32 * time.Second}, {6, 0, time.Minute},
		{29, 0, time.Minute}, {64, 0, time.Minute}, {1 << 40, 0, time.Minute}, {0, 0.5, 750 * time.Millisecond},
	} {
		if got := backoff(x.n, time.Second, time.Minute, x.r); got != x.want {
			t.Errorf("%d, %v: %v, want %v", x.n, x.r, got, x.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		first := time.Duration(rapid.Int64Range(1, 1<<62).Draw(t, "first"))
		longest := time.Duration(rapid.Int64Range(int64(first), 1<<62).Draw(t, "longest"))
		r := rapid.Float64Range(0, 0.999).Draw(t, "r")
		d := backoff(rapid.IntRange(0, 1000).Draw(t, "n"), first, longest, r)
		if d < first/2-1 || d > longest {
			t.Fatalf("%v, want %v to %v", d, first/2, longest)
		}
	})
}
