package audit

import (
	"context"
	"fmt"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// Archive is one place under audit.
type Archive struct {
	Finder archive.Finder
	// Putter takes what is missing there, where it can be repaired: nil for what
	// cannot be written, or costs money.
	Putter archive.Putter
}

// Name is the archive's URL without secrets.
func (a *Archive) Name() string { return a.Finder.Name() }

// fetcher is an archive of several members, which looks at what each of them
// serves.
type fetcher interface {
	Fetch(ctx context.Context, ref archive.Ref) (archive.Record, error)
}

// whole is an archive that hands out items as they were signed.
type whole interface {
	Item(ctx context.Context, id string, limit int) (archive.Item, error)
}

// get fetches the record that the archive lists as ref, and opens it. What the
// list says of it must be so. An error wraps archive.ErrForged or
// archive.ErrNotFound, or says why the archive could not be read.
func (a *Archive) get(ctx context.Context, ref archive.Ref) (archive.Record, error) {
	record, err := a.open(ctx, ref)
	if err != nil {
		return archive.Record{}, err
	}
	if record.Digest != ref.Digest || record.Header.Type != ref.Type {
		return archive.Record{}, fmt.Errorf("%w: its tags say %s %s, it is %s %s", archive.ErrForged, ref.Type, ref.Digest, record.Header.Type, record.Digest)
	}
	return record, nil
}

func (a *Archive) open(ctx context.Context, ref archive.Ref) (archive.Record, error) {
	switch from := a.Finder.(type) {
	case *archive.Folder: // it costs nothing to look at the wrapper too
		item, err := from.Item(ctx, ref.ID, archive.MaxRecord)
		if err != nil {
			return archive.Record{}, err
		}
		return openItem(&item, ref)
	case fetcher:
		return from.Fetch(ctx, ref)
	}
	return archive.Fetch(ctx, a.Finder, ref)
}

// openItem opens the record in an item that is said to be ref.
func openItem(item *archive.Item, ref archive.Ref) (archive.Record, error) {
	record, err := archive.Open(item.Data)
	if err == nil {
		err = archive.CheckTags(item, &record)
	}
	if h := &record.Header; err == nil && (record.DB() != ref.DB || h.Writer != ref.Writer || h.Epoch != ref.Epoch || h.Seq != ref.Seq) {
		err = fmt.Errorf("it holds record %d of epoch %d by %s", h.Seq, h.Epoch, h.Writer)
	}
	if err != nil {
		return archive.Record{}, fmt.Errorf("item %s: %w: %w", ref.ID, archive.ErrForged, err)
	}
	return record, nil
}

// series are the records of one kind that one writer numbers for itself: a
// chain, its checkpoints, or its chunks.
type series struct {
	db     action.Digest
	writer action.Writer
	epoch  uint32
	kind   archive.Type // as in archive.Query: empty for the chain
}

// window is the question for the numbers from first on.
func (s series) window(first uint64) archive.Query {
	return archive.Query{DB: s.db, Writer: s.writer, Epoch: s.epoch, First: first, Last: first + archive.MaxWindow - 1, Type: s.kind}
}

// at is the question for one number.
func (s series) at(number uint64) archive.Query {
	q := s.window(number)
	q.Last = number
	return q
}
