package applier

import (
	"fmt"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

// cursor is a place in a writer's chain: the last record that was read.
type cursor struct {
	epoch  uint32
	seq    uint64
	digest action.Digest
	// again: progress ended inside of that record, so it is read once more.
	again bool
}

func cursorAt(p postgres.Progress) cursor {
	return cursor{epoch: p.Epoch, seq: p.Seq, digest: p.Digest, again: !p.Complete}
}

// next is the number of the record to read next.
func (c cursor) next() uint64 {
	if c.again {
		return c.seq
	}
	return c.seq + 1
}

// advance moves to r if r is the record to read next.
func (c *cursor) advance(r *archive.Record) error {
	h := &r.Header
	if h.Epoch != c.epoch || h.Seq != c.next() {
		return fmt.Errorf("record %d of epoch %d came where %d of epoch %d is next", h.Seq, h.Epoch, c.next(), c.epoch)
	}
	if c.again && r.Digest != c.digest {
		return &ForkError{h.Writer, h.Epoch, h.Seq, c.digest, r.Digest}
	}
	if !c.again && h.Prev != c.digest {
		return &ForkError{h.Writer, h.Epoch, h.Seq - 1, c.digest, h.Prev}
	}
	c.seq, c.digest, c.again = h.Seq, r.Digest, false
	return nil
}

// ForkError: two records of one writer claim one place in its chain, or a
// record does not follow the one before. Both are signed; a person must find
// out which history is the real one.
type ForkError struct {
	Writer   action.Writer
	Epoch    uint32
	Seq      uint64
	One, Two action.Digest
}

func (e *ForkError) Error() string {
	return fmt.Sprintf("writer %s has two histories: epoch %d record %d is %s and %s", e.Writer, e.Epoch, e.Seq, e.One, e.Two)
}
