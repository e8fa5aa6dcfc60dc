package applier

import (
	"errors"

	"github.com/pgbridge/pgbridge/archive"
)

// errReached: the moment to stop at is reached.
var errReached = errors.New("reached what was asked for")

// ErrTooEarly: that moment is before the initial rows of the database were there.
var ErrTooEarly = errors.New("the chain does not reach back that far: the initial rows were copied later")

// stop tells whether until is reached at the transaction that the reader moved
// to, and remembers it.
func (t *target) stop(r *opened, n int) (bool, error) {
	head := t.reader.Head()
	t.stopped, t.next = t.until.Passed(archive.Place{Writer: r.Header.Writer, Epoch: r.Header.Epoch, Seq: r.Header.Seq, Tx: n}, head), head
	if t.stopped && head.Copy {
		return true, ErrTooEarly
	}
	return t.stopped, nil
}
