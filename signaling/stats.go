package signaling

import "sync/atomic"

// Stats counts what became of everything that arrived. Each delivery is
// counted in Received and in exactly one other field up to Delivered.
type Stats struct {
	Received   uint64 // payloads from all brokers
	Malformed  uint64 // of no size, version or form that a payload has
	Repeated   uint64 // the same bytes were taken in before, by any broker
	OverBudget uint64 // above what that broker may cost us
	Unsealed   uint64 // not sealed for us, or damaged
	Forged     uint64 // the signature is not the sender's
	Invalid    uint64 // rightly signed, but not a message that keeps its limits
	Misnamed   uint64 // rightly signed, but in the name of another sender, or our own
	Stranger   uint64 // from a sender that is not admitted
	Unasked    uint64 // an answer to no question of ours
	Late       uint64 // too old, or from too far ahead
	Busy       uint64 // above what the sender, or all senders, may cost us
	Duplicate  uint64 // seen before under the same id
	Answers    uint64 // to questions of ours
	Delivered  uint64 // taken in, and answered or handled

	Congested uint64 // dropped between the stations, because nobody came to fetch it; counted beside Received
	Unsent    uint64 // acknowledgements, refusals and addresses that could not be sent
}

// counters are Stats that goroutines share.
type counters struct {
	received, malformed, repeated, overBudget, unsealed, forged, invalid, misnamed,
	stranger, unasked, late, busy, duplicate, answers, delivered,
	congested, unsent atomic.Uint64
}

func (c *counters) snapshot() Stats {
	return Stats{
		Received: c.received.Load(), Malformed: c.malformed.Load(), Repeated: c.repeated.Load(),
		OverBudget: c.overBudget.Load(), Unsealed: c.unsealed.Load(), Forged: c.forged.Load(),
		Invalid: c.invalid.Load(), Misnamed: c.misnamed.Load(), Stranger: c.stranger.Load(),
		Unasked: c.unasked.Load(), Late: c.late.Load(), Busy: c.busy.Load(),
		Duplicate: c.duplicate.Load(), Answers: c.answers.Load(), Delivered: c.delivered.Load(),
		Congested: c.congested.Load(), Unsent: c.unsent.Load(),
	}
}
