package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// Entry is a verified record of a chain with its body.
type Entry struct {
	Header archive.Header
	Body   []byte
}

// Chain yields the records of a database after its genesis, verified and in
// order, from the beginning each time it is called. An error is the last thing it
// yields.
type Chain func(ctx context.Context) iter.Seq2[Entry, error]

// Position is a transaction in a chain.
type Position struct {
	At     time.Time     `json:"at"` // of the commit
	Writer action.Writer `json:"writer"`
	Epoch  uint32        `json:"epoch"`
	Seq    uint64        `json:"seq"`
	Tx     int           `json:"tx"` // from 0, in the record
	LSN    action.LSN    `json:"lsn"`
}

// String is the form that restore --until takes.
func (p Position) String() string { return p.place().String() }

func (p Position) place() archive.Place {
	return archive.Place{Writer: p.Writer, Epoch: p.Epoch, Seq: p.Seq, Tx: p.Tx}
}

// change is what happened to one row, to all rows of a table, or to the schema.
// Its values are valid until the next.
type change struct {
	Position
	shape  *action.Shape
	values []action.Value
	call   *deed // that it is part of
	copied bool  // the row was there before the chain
}

// deed is a call.
type deed struct {
	shape  *action.Shape
	values []action.Value
}

// tell calls do for every change of a chain, in order, until it returns errStop
// or another error. begin is asked before each transaction.
func tell(ctx context.Context, chain Chain, begin func(Position, action.Tx) error, do func(*change) error) error {
	t := teller{begin: begin, do: do}
	for entry, err := range chain(ctx) {
		if err != nil {
			return err
		}
		if err := t.record(&entry); err != nil {
			if errors.Is(err, errStop) {
				return nil
			}
			return fmt.Errorf("record %d: %w", entry.Header.Seq, err)
		}
	}
	return nil
}

// errStop: what follows is not wanted.
var errStop = errors.New("stop")

type teller struct {
	reader action.Reader
	begin  func(Position, action.Tx) error
	do     func(*change) error
}

func (t *teller) record(e *Entry) error {
	r := &t.reader
	r.Reset(e.Body)
	h := &e.Header
	for n := 0; r.Tx(); n++ {
		head := r.Head()
		at := Position{action.Clock{Micros: head.At}.Time(), h.Writer, h.Epoch, h.Seq, n, head.LSN}
		if t.begin != nil {
			if err := t.begin(at, head); err != nil {
				return err
			}
		}
		if err := t.transaction(change{Position: at, copied: head.Copy}); err != nil {
			return err
		}
	}
	return r.Err()
}

func (t *teller) transaction(c change) error {
	r := &t.reader
	for r.Action() {
		s := r.Shape()
		if !r.InCall() {
			c.call = nil
		}
		c.shape, c.values = s, nil
		switch {
		case s.Op == action.Call:
			c.call = &deed{s, slices.Clone(r.Values())}
			continue
		case s.Op == action.Truncate || s.Op == action.Clear:
			if err := t.do(&c); err != nil {
				return err
			}
			continue
		case s.Op != action.Schema && s.Op != action.Sequences && !s.Op.Rows():
			continue
		}
		for r.Row() {
			c.values = r.Values()
			if err := t.do(&c); err != nil {
				return err
			}
		}
	}
	return r.Err()
}
