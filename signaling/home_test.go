package signaling

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/signaling/seal"
)

func TestWellKnown(t *testing.T) {
	list := WellKnown()
	// Indices stand in addresses for ever: this list may only grow.
	names := []string{"HiveMQ", "Eclipse Mosquitto", "EMQX", "Eclipse IoT", "Bevywise"}
	for n, name := range names {
		if n >= len(list) || list[n].Name != name {
			t.Errorf("entry %d is not %q any more", n, name)
		}
	}
	live := 0
	for n, op := range list {
		urls, err := Endpoints(address.Broker{Index: n})
		if err != nil || len(urls) == 0 {
			t.Errorf("entry %d: %v, error %v", n, urls, err)
		}
		for _, u := range urls {
			if b, err := address.ParseBroker(u); err != nil || b.URL != u {
				t.Errorf("endpoint %q of %s: canonical is %q, error %v", u, op.Name, b.URL, err)
			}
		}
		if op.Since < 1 || op.Since > Generation || op.Until != 0 && op.Until < op.Since {
			t.Errorf("%s is of generations %d to %d, it is %d now", op.Name, op.Since, op.Until, Generation)
		}
		if op.Until == 0 {
			live++
		}
	}
	if live < CallBrokers || ListenBrokers >= CallBrokers {
		t.Errorf("%d entries are in use", live)
	}
}

func TestEndpoints(t *testing.T) {
	own := address.Broker{URL: "mqtt://127.0.0.1:1883"}
	if urls, err := Endpoints(own); err != nil || !slices.Equal(urls, []string{own.URL}) {
		t.Errorf("%v, error %v", urls, err)
	}
	for _, b := range []address.Broker{{Index: -1}, {Index: len(wellKnown)}, {Index: 65536}, {URL: "http://x"}, {Index: 1, URL: own.URL}} {
		if urls, err := Endpoints(b); err == nil {
			t.Errorf("%+v has endpoints %v", b, urls)
		}
	}
	urls, _ := Endpoints(address.Broker{})
	urls[0] = "changed"
	if again, _ := Endpoints(address.Broker{}); again[0] == "changed" {
		t.Error("a caller can change the list")
	}
}

// homes are golden, over a list of five entries of generation 1: another
// implementation must find the same brokers.
var homes = []struct {
	key  byte // of testKey
	id   string
	want []int
}{
	{1, "nDM17jv7HZHZbQ4dhwbgygnZtXc3DfwMYGMqE2FkoGMS", []int{3, 0, 1, 2, 4}},
	{2, "ej9nRWJoyJikRCF5DGeEsfW15e8eHn1TZSQzNVi9ZxGp", []int{1, 2, 0, 3, 4}},
	{3, "28AsYMLZUo7UF3HXdrusCe2DAeDeopjncpKGZMZLXWZZD", []int{2, 0, 3, 4, 1}},
	{4, "26ehknw6mW5BVnQHzVE6FxB1XRbiXA9W8VNjRo3JyLLKn", []int{4, 0, 1, 2, 3}},
}

func TestHomeVectors(t *testing.T) {
	for _, h := range homes {
		key := testKey(t, h.key).Public()
		if key.String() != h.id {
			t.Errorf("key %d is %s, want %s", h.key, key, h.id)
		}
		if got := indices(home(make([]Operator, 5), 1, key.Bytes(), 5)); !slices.Equal(got, h.want) {
			t.Errorf("%s is at home on %v, want %v", key, got, h.want)
		}
	}
}

// TestSpecification holds docs/signaling.md to the code.
func TestSpecification(t *testing.T) {
	text, err := os.ReadFile("../docs/signaling.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	for _, h := range homes {
		list := strings.Trim(strings.ReplaceAll(fmt.Sprint(h.want), " ", ", "), "[]")
		if row := fmt.Sprintf("| `%s` | %s |", h.id, list); !strings.Contains(doc, row) {
			t.Errorf("lacks the row %q", row)
		}
	}
	for n, op := range WellKnown() {
		if want := fmt.Sprintf("%d %s", n, op.Name); !strings.Contains(doc, want) {
			t.Errorf("lacks %q in the list", want)
		}
	}
	body, err := Encode(message(t, KindPunch))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(doc, string(body)) {
		t.Errorf("the example is not\n%s", body)
	}
	for _, kind := range kinds {
		if !strings.Contains(doc, "| `"+string(kind)+"` |") {
			t.Errorf("lacks the kind %s", kind)
		}
	}
	for _, number := range []string{
		fmt.Sprintf("at most %d bytes", seal.MaxBody),
		fmt.Sprintf("%d payloads a second, %d at once", BrokerRate, BrokerBurst),
		fmt.Sprintf("last %d payloads", maxHashes),
		fmt.Sprintf("| %d of one broker, %d in all |", lineLength, linesLength),
		fmt.Sprintf("| %d in all, %d of one sender |", openLimits.IDs, openLimits.PerSender),
		fmt.Sprintf("| %d in all, %d of one sender |", listedLimits.IDs, listedLimits.PerSender),
		fmt.Sprintf("| %d in all, %d for one sender |", maxReplies, senderShare),
		fmt.Sprintf("open senders have %d messages at once and %.0f a second, and %d at once and %.0f a second in all; listed ones %d at once and %.0f a second",
			openLimits.Burst, openLimits.Rate, openLimits.TotalBurst, openLimits.TotalRate, listedLimits.Burst, listedLimits.Rate),
		fmt.Sprintf("remembered for %.0f minutes", hold.Minutes()),
		fmt.Sprintf("at most %d times", maxResending),
	} {
		if !strings.Contains(doc, number) {
			t.Errorf("does not say %q", number)
		}
	}
}

func TestHomeMovesFew(t *testing.T) {
	var before []Operator
	for range 9 {
		before = append(before, Operator{Since: 1})
	}
	after := append(slices.Clone(before), Operator{Since: 2})
	retired := slices.Clone(before)
	retired[4].Until = 1
	const keys = 250
	first := make([]int, len(before))
	moved, met := 0, 0
	for n := range keys {
		key := testKey(t, byte(n)).Public()
		was := home(before, 1, key.Bytes(), 1)[0]
		first[was.Index]++

		now := home(after, 2, key.Bytes(), 1)
		if now[0] != was {
			moved++
			if now[0].Index != 9 {
				t.Errorf("key %d moved from %v to %v, which is not new", n, was, now[0])
			}
		}
		// A node of the new generation still listens where the old one calls.
		if slices.Contains(now, was) {
			met++
		}

		gone := home(retired, 2, key.Bytes(), 1)
		if (gone[0] != was) != (was.Index == 4) {
			t.Errorf("key %d was on %v, and after 4 was retired is on %v", n, was, gone[0])
		}
		// In the generation that follows, nobody listens there any more.
		if later := home(retired, 3, key.Bytes(), 3); slices.Contains(later, address.Broker{Index: 4}) {
			t.Errorf("key %d listens on %v", n, later)
		}
	}
	if moved == 0 || moved > keys*2/10 {
		t.Errorf("a tenth entry moved %d of %d keys", moved, keys)
	}
	if met != keys {
		t.Errorf("%d of %d keys are still met by the previous generation", met, keys)
	}
	for index, n := range first {
		if n < keys/9/2 || n > keys/9*2 {
			t.Errorf("entry %d is the first of %d of %d keys", index, n, keys)
		}
	}
}

func TestHomeSizes(t *testing.T) {
	key := testKey(t, 1).Public()
	for n := -1; n <= len(wellKnown)+1; n++ {
		got := Home(key, n)
		if want := min(max(n, 0), len(wellKnown)); len(got) != want {
			t.Errorf("Home(%d) gives %d, want %d", n, len(got), want)
		}
	}
	listen, call := Home(key, ListenBrokers), Home(key, CallBrokers)
	for _, b := range listen {
		if !slices.Contains(call, b) {
			t.Errorf("listens on %v, is called on %v", listen, call)
		}
	}
}

func TestBrokers(t *testing.T) {
	key := testKey(t, 1).Public()
	if got := Brokers(address.Address{Key: key}); !slices.Equal(got, Home(key, CallBrokers)) {
		t.Errorf("of a bare key: %v", got)
	}
	own := []address.Broker{{URL: "mqtt://127.0.0.1:1883"}}
	if got := Brokers(address.Address{Key: key, Brokers: own}); !slices.Equal(got, own) {
		t.Errorf("of an address that names one: %v", got)
	}
}

func indices(brokers []address.Broker) (list []int) {
	for _, b := range brokers {
		list = append(list, b.Index)
	}
	return list
}
