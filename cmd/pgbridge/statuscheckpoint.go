package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// checkpointStatus is how it stands with checkpoints.
type checkpointStatus struct {
	Making bool           `json:"making"` // one is under way
	Last   *checkpointRow `json:"last"`   // nil: none yet
	Failed *failedAttempt `json:"failed"` // the last scheduled one; nil: it was made
}

// checkpointRow is a checkpoint that the chain names.
type checkpointRow struct {
	Number  uint64        `json:"number"`
	Epoch   uint32        `json:"epoch"`
	Digest  action.Digest `json:"digest"`
	LSN     action.LSN    `json:"lsn"`
	Seq     uint64        `json:"seq"` // of the chain: what comes after is not in it
	At      time.Time     `json:"at"`
	Bytes   int64         `json:"bytes"`
	Waiting bool          `json:"waiting"` // an archive does not have it yet
}

// failedAttempt is why no checkpoint was made.
type failedAttempt struct {
	At    time.Time `json:"at"`
	Error string    `json:"error"`
}

func readCheckpoints(ctx context.Context, conn *pgx.Conn) (checkpointStatus, error) {
	var s checkpointStatus
	var err error
	if s.Making, err = postgres.LockCheckpoint.Held(ctx, conn); err != nil {
		return s, err
	}
	var row checkpointRow
	var digest, lsn string
	var number, epoch, seq int64
	err = conn.QueryRow(ctx, `SELECT number, epoch, digest, lsn::text, chain_seq, created_at, bytes, item IS NOT NULL FROM pgbridge.checkpoint ORDER BY number DESC LIMIT 1`).
		Scan(&number, &epoch, &digest, &lsn, &seq, &row.At, &row.Bytes, &row.Waiting)
	if err == nil {
		row.Number, row.Epoch, row.Seq = uint64(number), uint32(epoch), uint64(seq)
		row.Digest, err = action.ParseDigest(digest)
	}
	if err == nil {
		row.LSN, err = action.ParseLSN(lsn)
		s.Last = &row
	}
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return s, fmt.Errorf("read the last checkpoint: %w", err)
	}
	var failed failedAttempt
	err = conn.QueryRow(ctx, `SELECT at, error FROM pgbridge.checkpoint_failure`).Scan(&failed.At, &failed.Error)
	if err == nil {
		s.Failed = &failed
	}
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return s, fmt.Errorf("read how the last checkpoint failed: %w", err)
	}
	return s, nil
}

// judge finds what is wrong. A checkpoint that waits beside one under way is on its way.
func (c *checkpointStatus) judge(s *status) {
	if c.Failed != nil {
		s.passing("the scheduled checkpoint failed: %s", c.Failed.Error)
	}
	if c.Last != nil && c.Last.Waiting && !c.Making {
		s.passing("checkpoint %d is not in every archive: run pgbridge checkpoint create", c.Last.Number)
	}
}

func (c *checkpointStatus) text(line liner, now time.Time) {
	making := ""
	if c.Making {
		making = ", another one is being made"
	}
	switch {
	case c.Last != nil:
		line("checkpoint", "%d after record %d, %s, %s%s", c.Last.Number, c.Last.Seq, byteText(c.Last.Bytes), ago(now, c.Last.At), making)
	case c.Making:
		line("checkpoint", "the first one is being made")
	}
	if c.Failed != nil {
		line("  failed", "%s: %s", ago(now, c.Failed.At), oneLine(c.Failed.Error))
	}
}
