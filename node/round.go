package node

import (
	"errors"
	"fmt"
	"time"

	"github.com/sallyport-net/sallyport/punch"
	"github.com/sallyport-net/sallyport/signaling"
)

// HopelessError is a punch that nothing came of, though the peer took part.
type HopelessError struct {
	Rounds int
	Last   error // of the last round
}

func (e *HopelessError) Error() string {
	return fmt.Sprintf("both sides dialled %d times and nothing got through: one of the NATs seems to refuse simultaneous open (%v)", e.Rounds, e.Last)
}

// Unwrap gives what the last round met.
func (e *HopelessError) Unwrap() error { return e.Last }

// Hint is the one change that would help.
func (e *HopelessError) Hint() string {
	return "forward a TCP port on either router and name it with --port there, or have a relay carry it with --turn or --relay"
}

// final reports whether another round would meet the same.
func final(err error) bool {
	return errors.Is(err, signaling.ErrRefused) || errors.Is(err, signaling.ErrNoBroker) || errors.Is(err, signaling.ErrNoAnswer)
}

// round is one try of a punch.
type round struct {
	number int  // from 0, as the peer is told: later ones take fresh ports
	brief  bool // another one follows that does as well
}

// limit is how long it may take, its signals included.
func (r round) limit(m punch.Meeting, oneWay time.Duration) time.Duration {
	switch {
	case m.Method == punch.ByBirthday:
		return birthdayTimeout + 2*oneWay
	case r.brief:
		return briefTimeout + 4*oneWay
	}
	return roundTimeout + 4*oneWay
}
