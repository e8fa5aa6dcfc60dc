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
	reader  *archive.Multi
	record  archive.Record // of the genesis
	genesis sql.Genesis
}

// told opens the genesis of db.
func (a *app) told(ctx context.Context, db action.Digest) (*told, error) {
	reader, err := a.reader()
	if err != nil {
		return nil, err
	}
	record, genesis, err := applier.FetchGenesis(ctx, reader, db)
	if err != nil {
		return nil, err
	}
	return &told{a, reader, record, genesis}, nil
}

// chain yields the records after the genesis.
func (t *told) chain(ctx context.Context) iter.Seq2[audit.Entry, error] {
	return func(yield func(audit.Entry, error) bool) {
		for entry, err := range applier.Records(ctx, t.reader, &t.record, t.app.log) {
			if !yield(audit.Entry{Header: entry.Header, Body: entry.Text}, err) || err != nil {
				return
			}
		}
	}
}

// checkpoints finds the checkpoints of the database.
func (t *told) checkpoints(ctx context.Context) (*checkpoint.Finder, error) {
	h := &t.record.Header
	head, err := applier.Head(ctx, t.reader, t.record.DB(), h.Writer, h.Epoch, h.Seq)
	if err != nil {
		return nil, err
	}
	return &checkpoint.Finder{Archive: t.reader, DB: t.record.DB(), Owner: h.Writer, Epoch: h.Epoch, Head: head, Log: t.app.log}, nil
}

// moment reads a moment: a time, how long ago, a place in the chain, or a
// checkpoint.
func (t *told) moment(ctx context.Context, text string) (audit.Moment, error) {
	u, err := parseUntil(text, time.Now())
	switch {
	case err != nil:
		return audit.Moment{}, usageError{err}
	case u.checkpoint > 0:
		return t.atCheckpoint(ctx, u.checkpoint)
	case u.place.Seq == 0:
		return audit.Moment{Time: u.time}, nil
	case u.place.Writer != (action.Writer{}) && u.place.Writer != t.genesis.Owner:
		return audit.Moment{}, usageError{fmt.Errorf("%q: the chain is written by %s", text, t.genesis.Owner)}
	}
	return audit.Moment{Epoch: u.place.Epoch, Seq: u.place.Seq, Tx: u.place.Tx}, nil
}

func (t *told) atCheckpoint(ctx context.Context, number uint64) (audit.Moment, error) {
	find, err := t.checkpoints(ctx)
	if err != nil {
		return audit.Moment{}, err
	}
	c, err := find.Open(ctx, number)
	if err == nil {
		err = find.Confirm(ctx, &c)
	}
	return audit.Moment{Before: c.LSN}, err
}
