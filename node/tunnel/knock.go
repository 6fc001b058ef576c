package tunnel

import "io"

// Knock tells of a connection that has come in where the peer listens.
type Knock struct {
	Ticket Ticket
	From   Place
}

// Bytes is the knock as it is sent.
func (k Knock) Bytes() []byte { return k.From.append(append([]byte(nil), k.Ticket[:]...)) }

// ReadKnock reads one; io.EOF where there are no more.
func ReadKnock(r io.Reader) (Knock, error) {
	var k Knock
	if _, err := io.ReadFull(r, k.Ticket[:]); err != nil {
		return Knock{}, err
	}
	var err error
	if k.From, err = readPlace(r); err != nil {
		return Knock{}, err
	}
	return k, nil
}
