package publisher

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

// copyRows puts every row that snapshot sees into the chain, after
// genesis. The rows come first, as copies; then one line says that they were
// all, with the sequences as they stand.
func (in *Init) copyRows(ctx context.Context, conn *pgx.Conn, snapshot pgx.Tx, genesis *archive.Record) error {
	chain, err := postgres.LoadChain(ctx, conn)
	if err != nil {
		return err
	}
	seal := &sealer{
		conn: conn, key: in.Key, wallet: in.wallet(), db: genesis.Digest, schema: genesis.Header.Schema, chain: chain, floors: floors{},
		guard: &guard{}, ack: func(action.LSN) {}, stored: func() {}, spare: make(chan []byte, 1),
	}
	batches := make(chan batch, 1)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(batches)
		c := &copier{tx: snapshot, lsn: chain.End, out: batches}
		return c.run(ctx, in.Tables)
	})
	group.Go(func() error { return seal.run(ctx, batches) })
	return group.Wait()
}

// copier reads tables and makes batches of their rows.
type copier struct {
	tx    pgx.Tx     // of the snapshot
	lsn   action.LSN // of the snapshot
	out   chan<- batch
	build builder
	at    int64 // time of the snapshot
}

func (c *copier) run(ctx context.Context, tables []postgres.Table) error {
	err := c.tx.QueryRow(ctx, "SELECT (extract(epoch FROM transaction_timestamp()) * 1000000)::int8").Scan(&c.at)
	if err != nil {
		return fmt.Errorf("read the snapshot's time: %w", err)
	}
	c.begin()
	for _, t := range tables {
		if err := c.table(ctx, t); err != nil {
			return err
		}
	}
	if c.build.pending() > 0 {
		if err := c.send(ctx); err != nil {
			return err
		}
	}
	if err := postgres.RequireRead(ctx, c.tx, tables); err != nil {
		return err
	}
	c.build.begin(action.Tx{LSN: c.lsn, At: c.at}, false, postgres.Part{})
	c.build.openLine() // even without an action it says that the copy is over
	return c.send(ctx)
}

func (c *copier) begin() {
	c.build.begin(action.Tx{LSN: c.lsn, At: c.at, Copy: true}, false, postgres.Part{})
}

func (c *copier) table(ctx context.Context, t postgres.Table) error {
	shape := action.NewShape(action.Insert, t.Name, nil, t.Stored())
	for values, err := range postgres.Rows(ctx, c.tx, t) {
		if err != nil {
			return err
		}
		c.build.row(shape, values)
		if c.build.pending() < targetSize {
			continue
		}
		if err := c.send(ctx); err != nil {
			return err
		}
		c.begin()
	}
	return nil
}

// send ends the line and hands the batch on.
func (c *copier) send(ctx context.Context) error {
	if err := c.build.commit(c.lsn); err != nil {
		return err
	}
	b := c.build.batch(nil)
	b.copied = c.build.tx.Copy
	select {
	case c.out <- b:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
