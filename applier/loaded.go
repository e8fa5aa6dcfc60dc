package applier

import (
	"context"

	"github.com/pgbridge/pgbridge/action"
)

// loaded tells whether the reader's transaction came with a checkpoint.
func (t *target) loaded() bool { return t.reader.Head().LSN < t.pos.Skip }

// pass reads over a transaction that came with a checkpoint. How far sequences
// were counts all the same: it was read later than the position says, and is not
// told again. So do definitions: a checkpoint has those of the records before.
func (t *target) pass(ctx context.Context) error {
	for t.reader.Action() {
		var err error
		switch t.reader.Shape().Op {
		case action.Schema:
			t.passSchema()
		case action.Sequences:
			err = t.sequences(ctx)
		case action.Define:
			err = t.define(ctx)
		}
		if err != nil {
			return err
		}
	}
	return t.reader.Err()
}
