package main

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/audit"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/sql"
)

// told is a database as its archives tell of it.
type told struct {
	app     *app
	archive *archive.Multi
	record  archive.Record // of the genesis
	genesis sql.Genesis
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

// moment reads a moment: a time, how long ago, a place in the chain, or a
// checkpoint.
func (t *told) moment(ctx context.Context, text string) (archive.Moment, error) {
	u, err := parseUntil(text, time.Now())
	switch {
	case err != nil:
		return archive.Moment{}, usageError{err}
	case u.checkpoint > 0:
		return t.atCheckpoint(ctx, u.checkpoint)
	case u.place.Seq == 0:
		return archive.Moment{Time: u.time}, nil
	case u.place.Writer != (action.Writer{}) && u.place.Writer != t.genesis.Owner:
		return archive.Moment{}, usageError{fmt.Errorf("%q: the chain is written by %s", text, t.genesis.Owner)}
	}
	u.place.Writer = t.genesis.Owner
	return archive.Moment{Place: u.place}, nil
}

func (t *told) atCheckpoint(ctx context.Context, number uint64) (archive.Moment, error) {
	find, err := t.checkpoints(ctx)
	if err != nil {
		return archive.Moment{}, err
	}
	c, err := find.Open(ctx, number)
	if err == nil {
		err = find.Confirm(ctx, &c)
	}
	return archive.Moment{Before: c.LSN}, err
}
