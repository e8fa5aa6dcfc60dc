package main

import (
	"context"
	"fmt"
	"iter"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/audit"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/postgres"
)

// told is a database as its archives tell of it.
type told struct {
	app     *app
	archive *archive.Multi
	record  archive.Record // of the genesis
	genesis postgres.Genesis
}

// told opens the genesis of db.
func (a *app) told(ctx context.Context, db action.Digest) (*told, error) {
	reader, err := a.reader()
	if err != nil {
		return nil, err
	}
	return a.toldBy(ctx, reader, db)
}

// toldBy is told by the archives of reader.
func (a *app) toldBy(ctx context.Context, reader *archive.Multi, db action.Digest) (*told, error) {
	record, genesis, err := applier.FetchGenesis(ctx, reader, db)
	if err != nil {
		return nil, err
	}
	return &told{a, reader, record, genesis}, nil
}

// chain yields the records after the genesis.
func (t *told) chain(ctx context.Context) iter.Seq2[audit.Entry, error] {
	return func(yield func(audit.Entry, error) bool) {
		for entry, err := range applier.Records(ctx, t.archive, &t.record, t.app.log) {
			if !yield(audit.Entry{Header: entry.Header, Body: entry.Text}, err) || err != nil {
				return
			}
		}
	}
}

// checkpoints finds the checkpoints of the database.
func (t *told) checkpoints(ctx context.Context) (*checkpoint.Finder, error) {
	h := &t.record.Header
	head, err := applier.Head(ctx, t.archive, t.record.DB(), h.Writer, h.Epoch, h.Seq)
	if err != nil {
		return nil, err
	}
	return &checkpoint.Finder{Archive: t.archive, DB: t.record.DB(), Owner: h.Writer, Epoch: h.Epoch, Head: head, Log: t.app.log}, nil
}

// library brings the chunks of its checkpoints.
func (t *told) library() *checkpoint.Library {
	return &checkpoint.Library{Archive: t.archive, DB: t.record.DB(), Writer: t.genesis.Owner}
}

// recordAt fetches a record of a chain: the one that has the digest of at, or any
// where that has none.
func (t *told) recordAt(ctx context.Context, at checkpoint.Head) (archive.Record, error) {
	if at.Digest == t.record.Digest {
		return t.record, nil
	}
	refs, err := t.archive.Find(ctx, archive.Query{DB: t.record.DB(), Writer: at.Writer, Epoch: at.Epoch, First: at.Seq, Last: at.Seq})
	if err != nil {
		return archive.Record{}, err
	}
	failed := archive.ErrNotFound
	for _, ref := range refs {
		record, err := t.archive.Fetch(ctx, ref)
		if err == nil && (at.Digest.IsZero() || record.Digest == at.Digest) {
			return record, nil
		}
		if err != nil {
			failed = err
		}
	}
	return archive.Record{}, fmt.Errorf("record %d of epoch %d: %w (asked: %s)", at.Seq, at.Epoch, failed, t.archive.Name())
}

// resolve finds what m names in the chain. latest is the position which a checkpoint
// may not lie behind, if it is to be before the moment; 0: it has a time of its own.
func (t *told) resolve(ctx context.Context, m moment) (at archive.Moment, latest action.LSN, err error) {
	switch {
	case m.checkpoint > 0:
		find, err := t.checkpoints(ctx)
		if err != nil {
			return at, 0, err
		}
		c, err := confirmed(ctx, find, m.checkpoint)
		if err != nil {
			return at, 0, err
		}
		return archive.Moment{Before: c.LSN}, c.LSN, nil
	case m.item == "" && m.place.Seq == 0:
		return archive.Moment{Time: m.time}, 0, nil
	}
	record, err := t.recordOf(ctx, m)
	if err != nil {
		return at, 0, fmt.Errorf("%s: %w", m.text, err)
	}
	h := &record.Header
	// What is in a checkpoint at its first position, or before it, is before the record.
	return archive.Moment{Place: archive.Place{Writer: h.Writer, Epoch: h.Epoch, Seq: h.Seq, Tx: m.place.Tx}}, h.From, nil
}

// recordOf is the record that m names by its place, or by its item.
func (t *told) recordOf(ctx context.Context, m moment) (archive.Record, error) {
	owner := t.genesis.Owner
	if m.item == "" && m.place.Writer != owner && m.place.Writer != (action.Writer{}) {
		return archive.Record{}, usageError{fmt.Errorf("the chain is written by %s", owner)}
	}
	if m.item == "" {
		return t.recordAt(ctx, checkpoint.Head{Writer: owner, Epoch: m.place.Epoch, Seq: m.place.Seq})
	}
	raw, err := t.archive.Get(ctx, m.item)
	if err != nil {
		return archive.Record{}, err
	}
	record, err := archive.Open(raw)
	if err != nil {
		return archive.Record{}, err
	}
	if h := &record.Header; record.DB() != t.record.DB() || h.Writer != owner || h.Type != archive.TypeActions && h.Type != archive.TypeGenesis {
		return archive.Record{}, usageError{fmt.Errorf("that item has no record of the chain of %s in it", t.record.DB())}
	}
	return record, nil
}

// confirmed is a checkpoint that was asked for by its number.
func confirmed(ctx context.Context, find *checkpoint.Finder, number uint64) (*checkpoint.Checkpoint, error) {
	c, err := find.Open(ctx, number)
	if err == nil {
		err = find.Confirm(ctx, &c)
	}
	if err != nil {
		return nil, personError{fmt.Errorf("checkpoint %d cannot be used: %w", number, err)}
	}
	return &c, nil
}
