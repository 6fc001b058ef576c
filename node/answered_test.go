package node

import (
	"context"
	"testing"

	"github.com/sallyport-net/sallyport/address"
)

// A later round of a punch ends the earlier ones of its family, the same round
// told anew ends itself, and an earlier one that comes late does nothing.
func TestRoundsFollowOneAnother(t *testing.T) {
	a := newAnswered()
	p := punched{attempt{address.Key{}, [16]byte{1}}, false}
	other := punched{p.attempt, true}
	begin := func(p punched, number int) (context.Context, func()) { return a.round(t.Context(), p, number) }
	first, endFirst := begin(p, 0)
	second, endSecond := begin(p, 1)
	sixth, endSixth := begin(other, 0)
	late, endLate := begin(p, 0)
	if first.Err() == nil || second.Err() != nil || sixth.Err() != nil || late.Err() == nil {
		t.Errorf("after the second round: first %v, second %v, other family %v, late first %v", first.Err(), second.Err(), sixth.Err(), late.Err())
	}
	again, endAgain := begin(p, 1)
	if second.Err() == nil || again.Err() != nil {
		t.Errorf("told anew: before %v, now %v", second.Err(), again.Err())
	}
	for _, end := range []func(){endFirst, endSecond, endLate} {
		if end(); again.Err() != nil {
			t.Fatal("the end of an earlier round ends a later one")
		}
	}
	endAgain()
	endSixth()
	if len(a.rounds) != 0 {
		t.Errorf("%d rounds are remembered after all have ended", len(a.rounds))
	}
}
