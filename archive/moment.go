package archive

import (
	"fmt"
	"time"

	"github.com/pgbridge/pgbridge/action"
)

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

// String is the form that restore --until takes.
func (p Place) String() string {
	if p.Tx == WholeRecord {
		return fmt.Sprintf("%s:%d:%d", p.Writer, p.Epoch, p.Seq)
	}
	return fmt.Sprintf("%s:%d:%d:%d", p.Writer, p.Epoch, p.Seq, p.Tx)
}

// Moment is a state of the database: after every transaction that is not after
// the moment. Of several conditions the one that is met first counts. The zero
// Moment is the end of the chain. A transaction is never cut: it belongs to the
// record in which it begins.
type Moment struct {
	// Time: before the first transaction that was committed after it.
	Time time.Time
	// Before: before the first transaction whose position is not before it.
	Before action.LSN
	// Place: after it.
	Place Place
}

// Passed tells whether the transaction, or part of one, that begins at a place
// comes after the moment.
func (m Moment) Passed(at Place, tx action.Tx) bool {
	switch {
	case tx.Part > 1:
		return false
	case !m.Time.IsZero() && time.UnixMicro(tx.At).After(m.Time):
		return true
	case m.Before > 0 && tx.LSN >= m.Before:
		return true
	}
	return m.Place.Seq > 0 && m.Place.Writer == at.Writer && m.Place.before(at)
}

func (p Place) before(at Place) bool {
	if at.Epoch != p.Epoch {
		return at.Epoch > p.Epoch
	}
	if at.Seq != p.Seq {
		return at.Seq > p.Seq
	}
	return p.Tx != WholeRecord && at.Tx > p.Tx
}
