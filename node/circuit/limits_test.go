package circuit

import (
	"testing"

	"github.com/sallyport-net/sallyport/signaling"
)

func TestDecide(t *testing.T) {
	l := Limits{Circuits: 16, PerPeer: 2}.WithDefaults()
	for name, c := range map[string]struct {
		w    Wish
		want Decision
	}{
		"a stranger":                            {Wish{Linked: true, Located: true}, Turn},
		"a stranger, where nothing is left":     {Wish{Held: 16}, Turn},
		"a stranger who is announced":           {Wish{Invited: true, Linked: true}, Join},
		"the same, to one who is gone":          {Wish{Invited: true, Located: true}, Lack},
		"everybody, to one who is there":        {Wish{Caller: signaling.Open, Linked: true}, Join},
		"everybody, to one who must be called":  {Wish{Caller: signaling.Open, Located: true}, Lack},
		"one of the list, to one who is there":  {Wish{Caller: signaling.Listed, Linked: true, Located: true}, Join},
		"the same, to one who must be called":   {Wish{Caller: signaling.Listed, Located: true}, Call},
		"the same, to nobody knows where":       {Wish{Caller: signaling.Listed}, Lack},
		"round in a circle":                     {Wish{Caller: signaling.Listed, Linked: true, Loop: true}, Lack},
		"the last of all":                       {Wish{Caller: signaling.Listed, Linked: true, Held: 15}, Join},
		"one above all":                         {Wish{Caller: signaling.Listed, Linked: true, Held: 16}, Defer},
		"one more guest, where a place is left": {Wish{Caller: signaling.Open, Guest: true, Linked: true, Held: 11}, Join},
		"one of everybody too many":             {Wish{Caller: signaling.Open, Guest: true, Linked: true, Held: 12}, Defer},
		"a guest's caller, the same":            {Wish{Invited: true, Guest: true, Linked: true, Held: 12}, Defer},
		"one of the list beside them":           {Wish{Caller: signaling.Listed, Linked: true, Held: 15}, Join},
		"the last of a peer's":                  {Wish{Caller: signaling.Listed, Located: true, Held: 2, OfPeer: 1}, Call},
		"one above a peer's":                    {Wish{Caller: signaling.Listed, Located: true, Held: 2, OfPeer: 2}, Defer},
	} {
		t.Run(name, func(t *testing.T) {
			if got := l.Decide(c.w); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
	for d, want := range map[Decision]Status{Turn: Refused, Defer: Busy, Lack: Absent, Join: Joined, Call: Joined} {
		if d.Status() != want {
			t.Errorf("%d is told as %d", d, d.Status())
		}
	}
}
