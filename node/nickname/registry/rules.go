package registry

import (
	"fmt"
	"time"

	"github.com/sallyport-net/sallyport/node/nickname"
)

// entry is what is kept of a name.
type entry struct {
	record    nickname.Record
	origin    string    // the address from which it was claimed; it counts there
	refreshed time.Time // by our clock
}

// holds reports whether the entry keeps others from the name at now.
func (e *entry) holds(now time.Time) bool {
	return e != nil && !e.record.Released() && now.Before(e.refreshed.Add(nickname.Lasts))
}

// verdict is what becomes of a record: the status, and why for people.
type verdict struct {
	status nickname.Status
	reason string
}

// decide says what becomes of a record that is brought at now. have is what is
// kept of its name, alike a name that looks like it, each nil for none. room
// is what keeps the origin, or the registry, from having one more; "" nothing.
func decide(now time.Time, r nickname.Record, have, alike *entry, room string) verdict {
	if err := r.Fresh(now); err != nil {
		return verdict{nickname.Clock, err.Error()}
	}
	mine := have != nil && have.record.Key == r.Key
	switch {
	case have.holds(now) && !mine:
		return verdict{nickname.Taken, "the name is taken"}
	case mine && string(have.record.Bytes()) == string(r.Bytes()):
		return verdict{nickname.Stored, ""} // once more, as after a lost reply
	case mine && !r.Newer(have.record):
		return verdict{nickname.Outdated, fmt.Sprintf("a record of sequence %d is here already", have.record.Sequence)}
	case r.Released() && !have.holds(now):
		return verdict{nickname.Absent, ""}
	case r.Released(), have.holds(now):
		return verdict{nickname.Stored, ""}
	case alike.holds(now) && alike.record.Key != r.Key:
		return verdict{nickname.Alike, fmt.Sprintf("the name looks like %s, which is taken", alike.record.Name)}
	case room != "":
		return verdict{nickname.Full, room}
	}
	return verdict{nickname.Stored, ""}
}
