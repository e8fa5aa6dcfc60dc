package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/postgres"
)

func newCheckpoint() *cobra.Command {
	cmd := &cobra.Command{
		Use: "checkpoint", Short: "Whole-database copies, from which a restore begins", Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCheckpointCreate(), newCheckpointList())
	return cmd
}

func newCheckpointCreate() *cobra.Command {
	var jobs int
	var rate string
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Copy the whole database to the archives, beside whatever is at work",
		Long: `Create reads all published tables as of one moment and sends them, with the schema,
to all archives. What an earlier checkpoint sent and is still the same is not sent
again; interrupted, the next one finds what is there.

pgbridge run need not be at work, but the checkpoint counts for a restore only when
the chain names it, which run publishes. Create waits for the transactions that are
running when it begins. While it reads it holds what pg_dump does: a snapshot, and
locks that keep tables from being altered, truncated and dropped.

It prints one line, or with --json one object: number, digest, lsn, at, tables, rows,
chunks, bytes (of all chunks), fresh (chunks that were sent), size (of all before
compression), sent (bytes of the fresh ones), seconds.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("jobs") {
				a.CheckpointJobs = jobs
			}
			if cmd.Flags().Changed("rate") {
				a.CheckpointRate = rate
			}
			return a.createCheckpoint(cmd.Context())
		},
	}
	cmd.Flags().IntVar(&jobs, "jobs", 0, "read with this `number` of sessions at once; default: checkpoint-jobs")
	cmd.Flags().StringVar(&rate, "rate", "", "the most `bytes` of rows to read in a second, 20M say; default: checkpoint-rate")
	return cmd
}

// checkpointSummary is what create and list say of a checkpoint.
type checkpointSummary struct {
	Number uint64        `json:"number"`
	Digest action.Digest `json:"digest"`
	LSN    action.LSN    `json:"lsn"`
	At     time.Time     `json:"at"`
	Tables int           `json:"tables"`
	Rows   int64         `json:"rows"`
	Chunks int           `json:"chunks"`
	Bytes  int64         `json:"bytes"`
}

// created is what checkpoint create prints.
type created struct {
	checkpointSummary
	Fresh   int     `json:"fresh"`
	Size    int64   `json:"size"`
	Sent    int64   `json:"sent"`
	Seconds float64 `json:"seconds"`
}

func (a *app) createCheckpoint(ctx context.Context) error {
	began := time.Now()
	conn, err := a.database(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := a.refuseSuperuser(ctx, conn); err != nil {
		return err
	}
	if _, err := loadReady(ctx, conn); err != nil {
		return err
	}
	maker, err := a.maker(ctx, conn)
	if err != nil {
		return err
	}
	meter := newCopyMeter(a)
	maker.Progress = meter.report
	r, err := maker.Create(ctx)
	meter.end()
	if err != nil {
		return err
	}
	out := created{
		checkpointSummary{r.Number, r.Digest, r.LSN, time.UnixMicro(r.At).UTC(), r.Tables, r.Rows, r.Chunks, r.Bytes},
		r.Fresh, r.Size, r.Sent, time.Since(began).Seconds(),
	}
	return a.print(out, "checkpoint %d (%s) at %s: %s, %s, %s of chunks (%d, of which %d new: %s) in %.1f s\n",
		out.Number, out.Digest, out.LSN, many(out.Tables, "table"), many(int(out.Rows), "row"), byteText(out.Bytes),
		out.Chunks, out.Fresh, byteText(out.Sent), out.Seconds)
}

// maker is what makes checkpoints, as it is configured.
func (a *app) maker(ctx context.Context, q postgres.Querier) (*checkpoint.Maker, error) {
	key, err := a.key()
	if err != nil {
		return nil, err
	}
	wallet, err := a.wallet()
	if err != nil {
		return nil, err
	}
	putters, _, err := a.archives()
	if err != nil {
		return nil, err
	}
	if len(putters) == 0 {
		return nil, usageError{errors.New("none of the archives can be written: give a node, a folder or a bundler with --archive")}
	}
	rate, err := a.checkpointLimits()
	if err != nil {
		return nil, err
	}
	dump, replication, err := a.source(ctx, q)
	if err != nil {
		return nil, err
	}
	return &checkpoint.Maker{
		Connect: a.connect, Replication: replication, URL: a.DatabaseURL, Dump: dump, Key: key, Wallet: wallet,
		Archives: putters, Jobs: a.CheckpointJobs, Rate: rate, Log: a.log,
	}, nil
}

// source is what it takes to read a whole database, besides ordinary connections.
func (a *app) source(ctx context.Context, q postgres.Querier) (postgres.Dump, *pgconn.Config, error) {
	server, err := postgres.LoadServer(ctx, q)
	if err != nil {
		return postgres.Dump{}, nil, err
	}
	dump, err := postgres.FindDump(ctx, server.Major())
	if err != nil {
		return postgres.Dump{}, nil, usageError{err}
	}
	replication, err := postgres.ReplicationConfig(a.DatabaseURL)
	return dump, replication, err
}

// checkpointLimits checks how checkpoints are to be made.
func (a *app) checkpointLimits() (rate int64, err error) {
	if a.CheckpointJobs < 1 {
		return 0, usageError{fmt.Errorf("checkpoint-jobs is %d: want 1 or more", a.CheckpointJobs)}
	}
	return parseSize("checkpoint-rate", a.CheckpointRate)
}
