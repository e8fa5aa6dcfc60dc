package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/sql"
)

func newRestore() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:   "restore --db-id ID",
		Short: "Rebuild a database from the archive, into an empty one",
		Long: `Restore finds the genesis of the database in the archive, proves it by the
db-id, and replays everything after it: schema, rows, indexes, constraints,
sequences. Interrupted anywhere, the same command goes on where it was.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			db, err := parseDBID(id)
			if err != nil {
				return err
			}
			return a.restore(cmd.Context(), db)
		},
	}
	cmd.Flags().StringVar(&id, "db-id", "", "the database's `id`, as pgbridge init printed it")
	return cmd
}

func parseDBID(id string) (action.Digest, error) {
	if id == "" {
		return action.Digest{}, usageError{errors.New("which database? give --db-id ID, as pgbridge init printed it")}
	}
	db, err := action.ParseDigest(id)
	if err != nil {
		return action.Digest{}, usageError{fmt.Errorf("--db-id is not a db-id: %w", err)}
	}
	return db, nil
}

// restored is what restore prints.
type restored struct {
	DB      action.Digest `json:"db"`
	Name    string        `json:"name"`
	Records int           `json:"records"`
	Bytes   int64         `json:"bytes"`
	Seq     uint64        `json:"seq"`
	LSN     action.LSN    `json:"lsn"`
	At      time.Time     `json:"at"`
	Seconds float64       `json:"seconds"`
}

func (a *app) restore(ctx context.Context, db action.Digest) error {
	began := time.Now()
	conn, err := a.database(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	reader, err := a.reader()
	if err != nil {
		return err
	}
	record, genesis, err := applier.FetchGenesis(ctx, reader, db)
	if err != nil {
		return err
	}
	if err := applier.Join(ctx, conn, record, genesis); err != nil {
		return err
	}
	at, _, err := sql.LoadProgress(ctx, conn, genesis.Owner)
	if err != nil {
		return err
	}
	head, err := applier.Head(ctx, reader, db, genesis.Owner, at.Epoch, at.Seq)
	if err != nil {
		return err
	}

	meter := newMeter(a, genesis.Name, at.Seq, head)
	var last applier.Report
	apply := &applier.Applier{
		Connect: a.connect, Archive: reader, DB: db, Genesis: genesis, ToEnd: true, Log: a.log,
		Progress: func(r applier.Report) { last = r; meter.report(r) },
	}
	err = apply.Run(ctx)
	meter.end()
	if err != nil {
		return err
	}
	if last.Records == 0 { // it was complete
		last.Progress = at
	}
	out := restored{
		DB: db, Name: genesis.Name, Records: last.Records, Bytes: last.Bytes, Seq: last.Seq, LSN: last.LSN,
		At: last.Clock.Time(), Seconds: time.Since(began).Seconds(),
	}
	return a.print(out, "restored %s (%s): record %d, as of %s, in %.1f s\n", out.Name, db, out.Seq, out.At.Format(time.RFC3339), out.Seconds)
}
