package nickname

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/address"
)

func TestChoose(t *testing.T) {
	n := name(t, "alice.peer")
	rec := func(seq uint64) Answer { return Answer{Place: "a", Record: signed(t, alice, n, seq, noon)} }
	old, newer := rec(4), rec(9)
	evil := Answer{Place: "m", Record: signed(t, mallory, n, 1<<61, noon.Add(time.Minute))}
	stale := Answer{Place: "s", Record: signed(t, alice, n, 3, noon)}
	expired := Answer{Place: "e", Record: signed(t, alice, n, 20, noon.Add(-Lasts-time.Hour))}
	future := Answer{Place: "f", Record: signed(t, alice, n, 20, noon.Add(time.Hour))}
	other := Answer{Place: "o", Record: signed(t, alice, name(t, "alice.node"), 20, noon)}
	silent := Answer{Place: "x", Err: errors.New("no answer")}
	forged := Answer{Place: "g", Err: ErrForged}
	none := Answer{Place: "n"}
	gone, err := Sign(alice, n, 30, noon, address.Address{})
	if err != nil {
		t.Fatal(err)
	}
	released := Answer{Place: "r", Record: gone}
	known := Pin{alice.Public(), 4}
	for what, c := range map[string]struct {
		pin     Pin
		answers []Answer
		seq     uint64
		err     error
	}{
		"one":                            {Pin{}, []Answer{old}, 4, nil},
		"the newest signature wins":      {Pin{}, []Answer{old, newer, old}, 9, nil},
		"one place is missing it":        {Pin{}, []Answer{none, old}, 4, nil},
		"one place is silent":            {Pin{}, []Answer{silent, old}, 4, nil},
		"one place is garbage":           {Pin{}, []Answer{forged, old}, 4, nil},
		"they disagree":                  {Pin{}, []Answer{old, evil}, 0, ErrDisagree},
		"a liar against the known key":   {known, []Answer{evil, old}, 4, nil},
		"a stale one beside a good one":  {known, []Answer{stale, newer}, 9, nil},
		"only a stale one":               {known, []Answer{stale, silent}, 0, ErrStale},
		"the same as is known":           {known, []Answer{old}, 4, nil},
		"expired":                        {Pin{}, []Answer{expired}, 0, ErrExpired},
		"from the future":                {Pin{}, []Answer{future}, 0, ErrFuture},
		"another name's record":          {Pin{}, []Answer{other}, 0, ErrUnreachable},
		"all silent":                     {Pin{}, []Answer{silent, silent}, 0, ErrUnreachable},
		"nowhere to ask":                 {Pin{}, nil, 0, ErrUnreachable},
		"nobody has it":                  {Pin{}, []Answer{none, silent}, 0, ErrNotFound},
		"forged":                         {Pin{}, []Answer{forged, none}, 0, ErrForged},
		"given up":                       {known, []Answer{old, released}, 0, ErrNotFound},
		"given up, and not known":        {Pin{}, []Answer{released}, 0, ErrNotFound},
		"given up, and taken by another": {Pin{}, []Answer{released, evil}, 1 << 61, nil},
		"a registry lags behind":         {Pin{}, []Answer{released, old}, 0, ErrNotFound},
	} {
		r, err := Choose(noon, n, c.pin, c.answers)
		if !errors.Is(err, c.err) || r.Sequence != c.seq {
			t.Errorf("%s: %d, %v; want %d, %v", what, r.Sequence, err, c.seq, c.err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "alice.peer: ") {
			t.Errorf("%s: %v", what, err)
		}
	}
	// A key that is not the known one is refused, with the command to accept it.
	for what, answers := range map[string][]Answer{
		"alone": {evil}, "beside silence": {silent, evil, none}, "after a release": {released, evil}, "with a stale one": {stale, evil},
	} {
		_, err := Choose(noon, n, known, answers)
		var changed *KeyChangedError
		if !errors.As(err, &changed) || changed.Known != alice.Public() || changed.Now != mallory.Public() {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if !strings.Contains(err.Error(), "THE KEY OF alice.peer HAS CHANGED") || !strings.Contains(changed.Hint(), "sallyport nick accept alice.peer "+mallory.Public().String()) {
			t.Errorf("%s: %v; %s", what, err, changed.Hint())
		}
	}
}
