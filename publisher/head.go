package publisher

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

// Reader reads the archives: archive.Multi.
type Reader interface {
	Find(ctx context.Context, q archive.Query) ([]archive.Ref, error)
	Fetch(ctx context.Context, ref archive.Ref) (archive.Record, error)
}

// RewoundError: the archive holds records of this writer that the database does
// not know. The database was restored from a backup or cloned, and publishing
// from it would write a second history under the same numbers.
type RewoundError struct {
	Writer        action.Writer
	Epoch         uint32
	Known         uint64 // the last record the database knows
	Found         uint64 // a later one that the archive has, or another in its place
	OwnDigest     action.Digest
	ArchiveDigest action.Digest
}

func (e *RewoundError) Error() string {
	return fmt.Sprintf("the archive holds record %d (%s) of writer %s epoch %d, this database ends at record %d (%s): it was rewound or cloned; nothing was published",
		e.Found, e.ArchiveDigest, e.Writer, e.Epoch, e.Known, e.OwnDigest)
}

func (e *RewoundError) Unwrap() error { return ErrMoved }

// compareHead looks in the archives for records after the head of the chain, or
// another in its place: a clone may have written as many as this database. An
// archive that is away is no reason to stop: nothing is lost by publishing into
// the outbox, and the next start looks again.
func (p *Publisher) compareHead(ctx context.Context, c postgres.Chain) error {
	if p.Reader == nil {
		return nil
	}
	refs, err := p.Reader.Find(ctx, archive.Query{DB: p.DB, Writer: c.Writer, Epoch: c.Epoch, First: c.Seq, Last: c.Seq + archive.MaxWindow - 1})
	if err != nil {
		p.logger().Warn("the archive's head is not known", "error", err)
		return ctx.Err()
	}
	for _, ref := range refs {
		if ref.Seq == c.Seq && ref.Digest == c.Digest {
			continue // our own
		}
		record, err := p.Reader.Fetch(ctx, ref)
		if errors.Is(err, archive.ErrForged) || errors.Is(err, archive.ErrNotFound) {
			continue // anyone can post an item with our tags
		}
		if err != nil {
			p.logger().Warn("a record after the head could not be fetched", "seq", ref.Seq, "error", err)
			return ctx.Err()
		}
		if record.Digest == c.Digest {
			continue // under tags that say otherwise
		}
		return &RewoundError{Writer: c.Writer, Epoch: c.Epoch, Known: c.Seq, Found: record.Header.Seq, OwnDigest: c.Digest, ArchiveDigest: record.Digest}
	}
	return nil
}
