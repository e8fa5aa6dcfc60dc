package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
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
	if number, ok := strings.CutPrefix(text, "checkpoint:"); ok {
		return t.atCheckpoint(ctx, number)
	}
	if place, ok, err := parsePlace(text); ok || err != nil {
		if err == nil && place.writer != (action.Writer{}) && place.writer != t.genesis.Owner {
			err = fmt.Errorf("%q: the chain is written by %s", text, t.genesis.Owner)
		}
		return place.Moment, asUsage(err)
	}
	at, err := parseMoment(text, time.Now())
	if err == nil && at.IsZero() {
		err = errors.New("want a time, how long ago, WRITER:EPOCH:SEQ[:INDEX] or checkpoint:N")
	}
	return audit.Moment{Time: at}, asUsage(err)
}

func asUsage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

func (t *told) atCheckpoint(ctx context.Context, text string) (audit.Moment, error) {
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return audit.Moment{}, asUsage(fmt.Errorf("checkpoint:%s: want the number of a checkpoint", text))
	}
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

// chainPlace is a place in the chain of a writer, which may be left out.
type chainPlace struct {
	audit.Moment
	writer action.Writer
}

// parsePlace reads [WRITER:]EPOCH:SEQ[:INDEX], as log and history print it. It
// tells whether the text is one.
func parsePlace(text string) (p chainPlace, ok bool, err error) {
	parts := strings.Split(text, ":")
	if len(parts[0]) == 64 {
		if p.writer, err = action.ParseWriter(parts[0]); err != nil {
			return p, false, fmt.Errorf("%q: %w", text, err)
		}
		parts = parts[1:]
	}
	var numbers [3]uint64
	numbers[2] = 1 << 32
	if len(parts) < 2 || len(parts) > 3 {
		return p, false, nil
	}
	for i, part := range parts {
		if numbers[i], err = strconv.ParseUint(part, 10, 63); err != nil {
			return p, false, nil //nolint:nilerr // a time, perhaps
		}
	}
	if numbers[0] == 0 || numbers[0]>>32 > 0 || numbers[1] == 0 {
		return p, false, fmt.Errorf("%q: epochs and records are counted from 1", text)
	}
	p.Epoch, p.Seq, p.Tx = uint32(numbers[0]), numbers[1], -1
	if len(parts) == 3 {
		p.Tx = int(numbers[2])
	}
	return p, true, nil
}
