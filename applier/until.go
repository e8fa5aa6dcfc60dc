package applier

import (
	"errors"
	"fmt"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// Until is where to stop. Of several conditions the one that is met first
// counts. A transaction is never cut: it belongs to the record in which it
// begins.
type Until struct {
	// Time: stop before the first transaction that was committed after it.
	Time time.Time
	// Before: stop before the first transaction whose position is not before it.
	Before action.LSN
	// Place: stop after it.
	Place Place
}

// Place is a record in the chain of a writer, or a transaction of it.
type Place struct {
	Writer action.Writer
	Epoch  uint32
	Seq    uint64
	// Tx is the number of a transaction in the record, from 0; WholeRecord means
	// the last.
	Tx int
}

// WholeRecord as the transaction of a Place means the record.
const WholeRecord = -1

func (p Place) String() string {
	if p.Tx == WholeRecord {
		return fmt.Sprintf("%s:%d:%d", p.Writer, p.Epoch, p.Seq)
	}
	return fmt.Sprintf("%s:%d:%d:%d", p.Writer, p.Epoch, p.Seq, p.Tx)
}

// stops tells whether line n of a record, which begins tx, is not to be applied
// any more.
func (u Until) stops(h *archive.Header, n int, tx action.Tx) bool {
	switch {
	case tx.Part > 1:
		return false
	case !u.Time.IsZero() && time.UnixMicro(tx.At).After(u.Time):
		return true
	case u.Before > 0 && tx.LSN >= u.Before:
		return true
	}
	return u.Place.Seq > 0 && u.Place.Writer == h.Writer && u.Place.before(h, n)
}

func (p Place) before(h *archive.Header, n int) bool {
	if h.Epoch != p.Epoch {
		return h.Epoch > p.Epoch
	}
	if h.Seq != p.Seq {
		return h.Seq > p.Seq
	}
	return p.Tx != WholeRecord && n > p.Tx
}

// errReached: Until is reached.
var errReached = errors.New("reached what was asked for")

// ErrTooEarly: Until is before the initial rows of the database were there.
var ErrTooEarly = errors.New("the chain does not reach back that far: the initial rows were copied later")

// stop tells whether until is reached at the transaction that the reader moved
// to, and remembers it.
func (t *target) stop(r *opened, n int) (bool, error) {
	head := t.reader.Head()
	t.stopped, t.next = t.until.stops(&r.Header, n, head), head
	if t.stopped && head.Copy {
		return true, ErrTooEarly
	}
	return t.stopped, nil
}
