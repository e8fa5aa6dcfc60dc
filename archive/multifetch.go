package archive

import (
	"context"
	"fmt"
	"math/rand/v2"
)

// maxCopies bounds how many items that claim to be one record Fetch looks at.
const maxCopies = 32

// Fetch returns the record that ref is about: signed by ref.Writer, of ref.DB,
// with ref.Epoch and ref.Seq in the series that ref.Type belongs to: the chain,
// the checkpoints or the chunks. A member that serves anything else under ref.ID
// is logged and the next one is asked; when none has it, other items that
// claim to be this record are tried, maxCopies of them.
//
// ref.Digest is hearsay and not compared, nor which of a chain's types it is.
// Two records of one number with different digests, both opened, are a fork: the
// caller sees it, no archive can make it up.
//
// An error is about ref.ID. It wraps ErrNotFound when no member has it, and
// ErrForged when those that have it have something else; not when a member
// that failed might have had the record.
func (m *Multi) Fetch(ctx context.Context, ref Ref) (Record, error) {
	record, err := m.fetchOne(ctx, ref)
	if err == nil || ctx.Err() != nil {
		return record, err
	}
	others := m.copies(ctx, ref)
	for _, other := range others {
		if record, err := m.fetchOne(ctx, other); err == nil || ctx.Err() != nil {
			return record, err
		}
	}
	return Record{}, fmt.Errorf("record %d of epoch %d by %s (%d other items tried): %w", ref.Seq, ref.Epoch, ref.Writer, len(others), err)
}

// fetchOne is Fetch for the one item ref.ID.
func (m *Multi) fetchOne(ctx context.Context, ref Ref) (Record, error) {
	return inTurn(ctx, m, func(ctx context.Context, f Finder) (Record, error) { return Fetch(ctx, f, ref) })
}

// copies are the other items that claim to be the record, those with its
// digest first. Among them chance decides: a stranger could choose ids.
func (m *Multi) copies(ctx context.Context, ref Ref) []Ref {
	all, err := m.Find(ctx, Query{DB: ref.DB, Writer: ref.Writer, Epoch: ref.Epoch, First: ref.Seq, Last: ref.Seq, Type: ref.Type.series()})
	if err != nil {
		return nil // logged, member by member
	}
	var alike, others []Ref
	seen := map[string]bool{ref.ID: true}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, r := range all {
		switch {
		case seen[r.ID]:
		case r.Digest == ref.Digest:
			alike = append(alike, r)
		default:
			others = append(others, r)
		}
		seen[r.ID] = true
	}
	all = append(alike, others...)
	return all[:min(len(all), maxCopies)]
}

// headFetcher is a Finder that can look at the head of a record before it
// reads the body: a stranger's gigabyte then costs its first 64 KiB.
type headFetcher interface {
	fetch(ctx context.Context, id string, accept func(*Record) error) ([]byte, error)
}

// Fetch is Multi.Fetch for one archive and the one item ref.ID: an error wraps
// ErrNotFound or ErrForged, or says why the archive could not be read.
func Fetch(ctx context.Context, f Finder, ref Ref) (Record, error) {
	var raw []byte
	var err error
	if h, ok := f.(headFetcher); ok {
		raw, err = h.fetch(ctx, ref.ID, ref.check)
	} else {
		raw, err = f.Get(ctx, ref.ID)
	}
	if err != nil {
		return Record{}, err
	}
	record, err := Open(raw)
	if err == nil {
		err = ref.check(&record)
	}
	if err != nil {
		return Record{}, fmt.Errorf("item %s at %s: %w: %w", ref.ID, f.Name(), ErrForged, err)
	}
	return record, nil
}

// check refuses a record that is not the one ref is about.
func (r Ref) check(record *Record) error {
	h := &record.Header
	if record.DB() != r.DB || h.Writer != r.Writer || h.Epoch != r.Epoch || h.Seq != r.Seq || h.Type.series() != r.Type.series() {
		return fmt.Errorf("it holds %s %d of epoch %d by %s in %s, not what was asked for", h.Type, h.Seq, h.Epoch, h.Writer, record.DB())
	}
	return nil
}
