package publisher

import (
	"maps"
	"slices"

	"github.com/pgbridge/pgbridge/action"
)

// batch is the body of one record with what its header and the chain need. A
// batch without a body carries a position only: nothing up to To is to be
// published.
type batch struct {
	body    []byte
	txs     int
	to      action.LSN // the end of the last whole transaction
	part    Part       // of the transaction that goes on in the next batch
	clock   action.Clock
	at      int64    // commit time of the last transaction
	actions []string // distinct names, for the tags
	copied  bool     // initial rows: a record of them holds nothing else
	restart bool     // a TRUNCATE in it restarts sequences
}

// builder collects transactions into batches. It knows nothing of time or of
// the connection, so its rules can be tested message by message.
type builder struct {
	// split is the size, in bytes, at which a transaction is cut into parts.
	split int

	body    action.Body
	shapes  map[*action.Shape]struct{}
	last    *action.Shape
	to      action.LSN
	clock   action.Clock
	at      int64
	tx      action.Tx
	open    bool // the line of tx is begun
	rows    int64
	skip    int64 // changes of tx that are in the chain already
	restart bool  // as in batch
	dropped bool  // tx is in the chain already, or is an echo
}

// begin takes the head of the next transaction. part is what the chain has of
// a transaction that was cut.
func (b *builder) begin(tx action.Tx, done bool, part Part) { //nolint:revive // done is a fact, not a mode
	b.tx, b.open, b.rows, b.skip, b.dropped = tx, false, 0, 0, done
	b.tx.Part = 1
	if part.LSN == tx.LSN && part.Parts > 0 {
		b.skip, b.tx.Part, b.tx.Clock = part.Rows, part.Parts+1, b.clock
	}
}

// drop leaves the transaction out.
func (b *builder) drop() { b.dropped = true }

// change counts one change and tells whether it is to be published.
func (b *builder) change() bool {
	if b.dropped {
		return false
	}
	b.rows++
	if b.rows <= b.skip {
		return false
	}
	b.openLine()
	return true
}

func (b *builder) openLine() {
	if b.open {
		return
	}
	if b.tx.Clock == (action.Clock{}) {
		b.clock = b.clock.Next(b.tx.At)
		b.tx.Clock = b.clock
	}
	b.body.Begin(b.tx)
	b.open = true
}

func (b *builder) row(s *action.Shape, values [][]byte) {
	if !b.change() {
		return
	}
	b.note(s)
	b.body.Row(s, values)
}

func (b *builder) truncate(shapes []*action.Shape) {
	if !b.change() {
		return
	}
	for _, s := range shapes {
		b.note(s)
		b.body.Truncate(s)
		b.restart = b.restart || s.Restart
	}
}

func (b *builder) note(s *action.Shape) {
	if s == b.last {
		return
	}
	if b.shapes == nil {
		b.shapes = map[*action.Shape]struct{}{}
	}
	b.shapes[s] = struct{}{}
	b.last = s
}

// full tells whether the open transaction has to go on in the next batch.
func (b *builder) full() bool { return b.open && b.body.Len() >= b.split }

// cut ends the open line as a part and returns the batch up to it.
func (b *builder) cut(spare []byte) batch {
	b.body.EndPart()
	part := Part{LSN: b.tx.LSN, Parts: b.tx.Part, Rows: b.rows}
	b.open = false
	b.tx.Part++
	out := b.batch(spare)
	out.part, out.at = part, b.tx.At
	return out
}

// commit ends the transaction.
func (b *builder) commit(end action.LSN) {
	if !b.dropped && b.tx.Part > 1 {
		b.openLine() // the last part ends the transaction, even without a change of its own
	}
	if b.open {
		b.body.End()
		b.open = false
		b.at = b.tx.At
	}
	b.to = end
}

// pending is the size of what is collected.
func (b *builder) pending() int { return b.body.Len() }

// batch returns what is collected and goes on in spare's memory.
func (b *builder) batch(spare []byte) batch {
	out := batch{txs: b.body.Txs(), to: b.to, clock: b.clock, at: b.at, actions: b.names(), restart: b.restart}
	if out.txs > 0 {
		out.body = b.body.Swap(spare)
	}
	clear(b.shapes)
	b.last, b.restart = nil, false
	return out
}

// names are the distinct names of the actions in the batch, sorted: an item is
// made of nothing but its content.
func (b *builder) names() []string {
	names := map[string]struct{}{}
	for s := range b.shapes {
		names[s.Action()] = struct{}{}
	}
	return slices.Sorted(maps.Keys(names))
}
