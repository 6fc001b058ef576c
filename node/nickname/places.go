package nickname

import "context"

// Places keep records: registered names in registries, self-certifying ones on
// brokers. Fetch and Store give one answer for each place that was asked.
type Places interface {
	Fetch(ctx context.Context, name Name) []Answer
	Store(ctx context.Context, record Record) []Answer
}

// Everywhere are the places of both kinds of names.
type Everywhere struct {
	Registries Registries
	Board      Board
}

var _ Places = Everywhere{}

// Fetch asks the places of the name's kind.
func (e Everywhere) Fetch(ctx context.Context, name Name) []Answer {
	if name.SelfCertifying() {
		return e.Board.Fetch(ctx, name)
	}
	return e.Registries.Fetch(ctx, name)
}

// Store hands the record to the places of its name's kind.
func (e Everywhere) Store(ctx context.Context, record Record) []Answer {
	if record.Name.SelfCertifying() {
		return e.Board.Store(ctx, record)
	}
	return e.Registries.Store(ctx, record)
}
