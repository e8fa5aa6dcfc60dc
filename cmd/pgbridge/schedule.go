package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/postgres"
)

// schedule makes checkpoints beside the capture when so much time has passed, so
// many records or so many bytes of WAL have come since the last one. Zero is
// never, and nothing is copied that has not changed.
type schedule struct {
	app     *app
	genesis action.LSN // where the chain begins
	every   time.Duration
	records uint64
	bytes   int64
}

const (
	// scheduleInterval is the pause between two looks whether one is due.
	scheduleInterval = 10 * time.Second
	// scheduleRetry is the pause after a checkpoint that failed.
	scheduleRetry = time.Minute
)

// newSchedule returns nil where nothing is scheduled.
func newSchedule(a *app, d postgres.Database) (*schedule, error) {
	s := &schedule{app: a, every: a.CheckpointEvery, records: a.CheckpointRecords}
	var err error
	if s.bytes, err = parseSize("checkpoint-bytes", a.CheckpointBytes); err != nil {
		return nil, err
	}
	if s.every < 0 {
		return nil, usageError{fmt.Errorf("checkpoint-every is %s: want a time, or 0 for never", s.every)}
	}
	if _, err := a.checkpointLimits(); err != nil {
		return nil, err
	}
	if s.every == 0 && s.records == 0 && s.bytes == 0 {
		return nil, nil
	}
	genesis, err := archive.Open(d.Genesis)
	s.genesis = genesis.Header.From
	return s, err
}

// run looks and makes until ctx ends. A checkpoint that fails is a warning and in
// the status; it never ends the publishing.
func (s *schedule) run(ctx context.Context) {
	pause := s.interval()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = s.interval()
		err := s.step(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, checkpoint.ErrBusy) {
			s.app.log.Warn("no checkpoint was made, trying again", "error", err)
			pause = max(pause, scheduleRetry)
		}
	}
}

func (s *schedule) interval() time.Duration {
	if s.every > 0 && s.every < scheduleInterval {
		return s.every
	}
	return scheduleInterval
}

// step makes a checkpoint if one is due.
func (s *schedule) step(ctx context.Context) error {
	conn, err := s.app.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	since, err := s.since(ctx, conn)
	if err != nil || !since.due(s) {
		return err
	}
	r, err := s.make(ctx, conn)
	s.note(ctx, conn, err)
	if err != nil {
		return err
	}
	s.app.log.Info("checkpoint", "number", r.Number, "lsn", r.LSN, "rows", r.Rows, "chunks", r.Chunks, "fresh", r.Fresh, "bytes", r.Bytes, "sent", r.Sent)
	return nil
}

func (s *schedule) make(ctx context.Context, conn *pgx.Conn) (checkpoint.Result, error) {
	maker, err := s.app.maker(ctx, conn)
	if err != nil {
		return checkpoint.Result{}, err
	}
	return maker.Create(ctx)
}

// note tells status how the last attempt ended; that it cannot be told is no
// reason for anything.
func (s *schedule) note(ctx context.Context, conn *pgx.Conn, failed error) {
	var err error
	if failed == nil {
		_, err = conn.Exec(ctx, `DELETE FROM pgbridge.checkpoint_failure`)
	} else if ctx.Err() == nil && !errors.Is(failed, checkpoint.ErrBusy) {
		_, err = conn.Exec(ctx, `INSERT INTO pgbridge.checkpoint_failure (error) VALUES ($1)
			ON CONFLICT (only_one) DO UPDATE SET (error, at) = (excluded.error, excluded.at)`, failed.Error())
	}
	if err != nil {
		s.app.log.Warn("how the checkpoint ended is not in the status", "error", err)
	}
}

// since is what happened after the last checkpoint, or after init.
type since struct {
	ever    bool // there is a checkpoint
	time    time.Duration
	records uint64
	bytes   int64
}

func (s *schedule) since(ctx context.Context, conn *pgx.Conn) (since, error) {
	const query = `SELECT c.number IS NOT NULL, coalesce(extract(epoch FROM clock_timestamp() - c.created_at), 0)::float8,
			chain.seq - coalesce(c.chain_seq, 1), (chain.end_lsn - coalesce(c.lsn, $1::text::pg_lsn))::int8
		FROM pgbridge.chain LEFT JOIN (SELECT * FROM pgbridge.checkpoint ORDER BY number DESC LIMIT 1) c ON c.epoch = chain.epoch`
	var p since
	var seconds float64
	var records int64
	if err := conn.QueryRow(ctx, query, s.genesis.String()).Scan(&p.ever, &seconds, &records, &p.bytes); err != nil {
		return since{}, fmt.Errorf("look for the last checkpoint: %w", err)
	}
	p.time, p.records = time.Duration(seconds*float64(time.Second)), uint64(max(records, 0))
	return p, nil
}

// due tells whether it is time. The record that names the last checkpoint is
// nothing new.
func (p since) due(s *schedule) bool {
	if p.ever && p.records <= 1 {
		return false
	}
	return s.every > 0 && (p.time >= s.every || !p.ever) || s.records > 0 && p.records >= s.records || s.bytes > 0 && p.bytes >= s.bytes
}

// maxSize leaves room to reckon with.
const maxSize = 1 << 60

// parseSize reads a number of bytes, which may end in K, M, G or T (of 1024).
func parseSize(key, text string) (int64, error) {
	digits, unit := text, 0
	if n := len(text); n > 0 {
		if unit = strings.IndexByte("KMGT", text[n-1]) + 1; unit > 0 {
			digits = text[:n-1]
		}
	}
	if digits == "" && unit == 0 {
		return 0, nil
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > maxSize>>(10*unit) {
		return 0, usageError{fmt.Errorf("%s is %q: want a number of bytes, like 500000, 64M or 10G", key, text)}
	}
	return n << (10 * unit), nil
}
