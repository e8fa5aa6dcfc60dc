package publisher

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// batch is the body of one record with what its header and the chain need. A
// batch without a body carries a position only: nothing up to To is to be
// published.
type batch struct {
	body    []byte
	txs     int
	to      action.LSN    // the end of the last whole transaction
	part    postgres.Part // of the transaction that goes on in the next batch
	clock   action.Clock
	at      int64                // commit time of the last transaction
	actions []string             // distinct names, for the tags
	copied  bool                 // initial rows: a record of them holds nothing else
	restart bool                 // sequences may be others after it: their floors are published again
	named   postgres.Definitions // in force at to, if they changed
	forged  int64                // marks that were not true
	changes []change             // of the schema, in order
}

// builder collects transactions into batches. It knows nothing of time or of
// the connection, so its rules can be tested message by message.
type builder struct {
	// split is the size, in bytes, at which a transaction is cut into parts.
	split  int
	marks  marks
	naming *naming

	body        action.Body
	shapes      map[*action.Shape]struct{}
	last        *action.Shape
	to          action.LSN
	clock       action.Clock
	at          int64
	tx          action.Tx
	open        bool // the line of tx is begun
	rows        int64
	skip        int64          // changes of tx that are in the chain already
	restart     bool           // as in batch
	dropped     bool           // tx is in the chain already, or is an echo
	inCall      bool           // the outermost of the open calls is open in the body
	defined     []definition   // by the open calls, in force when these have ended
	checkpoints []checkpointed // made by tx
	renamed     bool           // definitions have changed since the last batch
	forged      int64          // as in batch
	changes     []change       // as in batch
	script      []string       // the statements of what a client sent as one, and marks are of
	renames     [][2]string    // of schemas, before and after, for the decoder
	rewritten   *action.Shape  // inserts into the table that tx has cleared
}

// begin takes the head of the next transaction. part is what the chain has of
// a transaction that was cut.
func (b *builder) begin(tx action.Tx, done bool, part postgres.Part) {
	b.tx, b.open, b.rows, b.skip, b.dropped = tx, false, 0, 0, done
	b.tx.Part, b.inCall, b.defined, b.checkpoints, b.rewritten, b.script = 1, false, nil, nil, nil, nil
	b.marks.begin(tx.XID)
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
	if len(b.marks.calls) == 0 {
		s = b.naming.name(s)
	}
	b.note(s)
	b.body.Row(s, values)
}

// message takes a logical message of ours. A mark that is not true is counted;
// what it is to name is published as rows.
func (b *builder) message(content []byte) error {
	kind, payload, ok := b.marks.open(content)
	if b.dropped {
		if ok && kind == markSchema {
			return b.passSchema(payload)
		}
		return nil
	}
	if !ok {
		b.forged++
		return nil
	}
	switch kind {
	case markCall:
		b.beginCall(payload)
	case markEnd:
		return b.endCall()
	case markDefine:
		return b.define(payload)
	case markCheckpoint:
		return b.noteCheckpoint(payload)
	case markSchema:
		return b.changeSchema(payload)
	case markClear:
		return b.clearTable(payload)
	case markRows:
		return b.refill(payload)
	default:
		return fmt.Errorf("mark of kind %q is not known to this pgbridge: update it", kind)
	}
	return nil
}

// beginCall takes the beginning of a call. A call in a call is part of what the
// outer one does. A payload that the owner of the action has made up counts as
// forged: it must not stop the writer.
func (b *builder) beginCall(payload []byte) {
	s, values, err := b.naming.call(payload)
	if err != nil {
		b.forged++
		return
	}
	b.marks.enter()
	if len(b.marks.calls) > 1 || !b.change() {
		return
	}
	b.note(s)
	b.body.Call(s, values)
	b.inCall = true
}

func (b *builder) endCall() error {
	b.marks.leave()
	if len(b.marks.calls) > 0 {
		return nil
	}
	b.leaveCall()
	return b.writeDefinitions()
}

// define puts a definition into force: at its place, for what follows in the
// transaction may call the action. The effect of a call holds nothing but rows, so
// what a call defines stands behind it.
func (b *builder) define(payload []byte) error {
	var d definition
	if err := json.Unmarshal(payload, &d); err != nil {
		return fmt.Errorf("mark of a definition: %w", err)
	}
	b.defined = append(b.defined, d)
	if len(b.marks.calls) > 0 {
		return nil
	}
	return b.writeDefinitions()
}

var defineShape = action.NewDefine()

func (b *builder) writeDefinitions() error {
	for _, d := range b.defined {
		if b.change() {
			b.note(defineShape)
			b.body.Row(defineShape, d.values())
		}
		if err := b.naming.define(d); err != nil {
			return err
		}
		b.renamed = true
	}
	b.defined = nil
	return nil
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
	part := postgres.Part{LSN: b.tx.LSN, Parts: b.tx.Part, Rows: b.rows}
	b.open, b.inCall = false, false // what is left of a call goes on as rows
	b.tx.Part++
	out := b.batch(spare)
	out.part, out.at = part, b.tx.At
	return out
}

// commit ends the transaction.
func (b *builder) commit(end action.LSN) error {
	b.leaveCall() // which was left open
	if err := b.writeDefinitions(); err != nil {
		return err
	}
	b.writeCheckpoints()
	if !b.dropped && b.tx.Part > 1 {
		b.openLine() // the last part ends the transaction, even without a change of its own
	}
	if b.open {
		b.body.End()
		b.open = false
		b.at = b.tx.At
	}
	b.to = end
	return nil
}

// pending is the size of what is collected.
func (b *builder) pending() int { return b.body.Len() }

// batch returns what is collected and goes on in spare's memory.
func (b *builder) batch(spare []byte) batch {
	out := batch{txs: b.body.Txs(), to: b.to, clock: b.clock, at: b.at, actions: b.names(), restart: b.restart, forged: b.forged, changes: b.changes}
	if b.renamed {
		out.named = b.naming.texts
	}
	if out.txs > 0 {
		out.body = b.body.Swap(spare)
	}
	clear(b.shapes)
	b.last, b.restart, b.renamed, b.forged, b.changes = nil, false, false, 0, nil
	return out
}

// names are the distinct names of the actions in the batch: an item is made of
// nothing but its content. They are sorted, but that of checkpoints is the first: an
// item has not room for any number of tags, and by this one readers find out that a
// checkpoint counts.
func (b *builder) names() []string {
	names := map[string]struct{}{}
	for s := range b.shapes {
		names[s.Action()] = struct{}{}
	}
	sorted := slices.Sorted(maps.Keys(names))
	if i, ok := slices.BinarySearch(sorted, action.NewMark().Action()); ok {
		copy(sorted[1:i+1], sorted[:i])
		sorted[0] = action.NewMark().Action()
	}
	return sorted
}
