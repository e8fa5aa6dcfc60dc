package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/audit"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/postgres"
	"github.com/pgbridge/pgbridge/slot"
)

// againstLog is a database that is to be compared with its log.
type againstLog struct {
	*told
	conn     *pgx.Conn
	database postgres.Database
	needed   uint64 // the last record that must be read
}

func (c *againstLog) run(ctx context.Context, most int) (*audit.Comparison, error) {
	hold := c.follower
	if c.database.Role == postgres.RoleWriter {
		hold = c.writer
	}
	tx, held, position, err := hold(ctx)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	base, err := c.base(ctx, held, position)
	if err != nil {
		return nil, err
	}
	chain, err := c.after(ctx, base)
	if err != nil {
		return nil, err
	}
	compare := &audit.Compare{
		Tx: tx, Held: held, Base: base, Genesis: &c.genesis, Chain: chain, Most: most, Log: c.app.log,
		Library: c.library(),
	}
	result, err := compare.Run(ctx)
	if err == nil && result.Reached < c.needed {
		err = fmt.Errorf("the database is at record %d, the archives have the chain up to record %d: give one that has the rest with --archive", c.needed, result.Reached)
	}
	return result, err
}

// follower sees a database and its progress at one moment.
func (c *againstLog) follower(ctx context.Context) (tx pgx.Tx, held audit.Held, position action.LSN, err error) {
	tx, err = c.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, held, 0, fmt.Errorf("begin reading: %w", err)
	}
	p, found, err := postgres.LoadProgress(ctx, tx, c.genesis.Owner)
	if err == nil && !found {
		err = errors.New("nothing was applied to this database yet")
	}
	if err != nil {
		return nil, held, 0, errors.Join(err, tx.Rollback(ctx))
	}
	c.needed = p.Seq
	return tx, audit.Held{Before: p.Skip, Seq: p.Seq, Txs: p.Txs, Whole: p.Complete}, max(p.LSN, p.Skip), nil
}

// writer sees a database at a position of its WAL, up to which its chain is in the
// archives when writer returns.
func (c *againstLog) writer(ctx context.Context) (tx pgx.Tx, held audit.Held, position action.LSN, err error) {
	config, err := postgres.ReplicationConfig(c.app.DatabaseURL)
	if err != nil {
		return nil, held, 0, err
	}
	repl, err := slot.Connect(ctx, config)
	if err != nil {
		return nil, held, 0, err
	}
	defer repl.Close(context.WithoutCancel(ctx)) // with its slot; the snapshot is imported by then
	created, err := repl.CreateTemporary(ctx, fmt.Sprintf("%s_verify_%d", c.database.Slot, c.conn.PgConn().PID()))
	if err != nil {
		return nil, held, 0, err
	}
	if tx, err = postgres.BeginSnapshot(ctx, c.conn, created.Snapshot); err != nil {
		return nil, held, 0, err
	}
	if err := c.published(ctx, created.LSN); err != nil {
		return nil, held, 0, errors.Join(err, tx.Rollback(ctx))
	}
	return tx, audit.Held{Before: created.LSN}, created.LSN, nil
}

// publishPatience is how long the chain may take to get where the database is.
const publishPatience = 2 * time.Minute

// published waits until everything before lsn is in the archives.
func (c *againstLog) published(ctx context.Context, lsn action.LSN) error {
	conn, err := c.app.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	deadline := time.Now().Add(publishPatience)
	for sealed := false; ; {
		if !sealed {
			const query = `SELECT confirmed_flush_lsn >= $2::text::pg_lsn FROM pg_catalog.pg_replication_slots WHERE slot_name = $1`
			if err := conn.QueryRow(ctx, query, c.database.Slot, lsn.String()).Scan(&sealed); err != nil {
				return fmt.Errorf("look how far the slot is: %w", err)
			}
		}
		if sealed {
			chain, err := postgres.LoadChain(ctx, conn)
			if err != nil {
				return err
			}
			c.needed = chain.Seq
			head, err := applier.Head(ctx, c.archive, c.record.DB(), c.genesis.Owner, chain.Epoch, c.record.Header.Seq)
			if err != nil || head >= chain.Seq {
				return err
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("what this database holds is not all in the archives after %s: is pgbridge run at work, and does pgbridge status say that all is well?", publishPatience)
		}
		timer := time.NewTimer(100 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// base is the newest checkpoint that the database is past; nil: the genesis.
func (c *againstLog) base(ctx context.Context, held audit.Held, position action.LSN) (*checkpoint.Checkpoint, error) {
	find, err := c.checkpoints(ctx)
	if err != nil {
		return nil, err
	}
	return find.Newest(ctx, 0, func(_ context.Context, p *checkpoint.Checkpoint) error {
		if p.LSN > position || held.Seq > 0 && p.Head.Seq > held.Seq {
			return checkpoint.ErrUnfit
		}
		return nil
	})
}

// after yields the chain after a checkpoint.
func (c *againstLog) after(ctx context.Context, base *checkpoint.Checkpoint) (audit.Chain, error) {
	if base == nil {
		return c.chain, nil
	}
	record, err := c.recordAt(ctx, base.Head)
	if err != nil {
		return nil, fmt.Errorf("the record that checkpoint %d follows: %w", base.Number, err)
	}
	return func(ctx context.Context) iter.Seq2[audit.Entry, error] {
		t := *c.told
		t.record = record
		return t.chain(ctx)
	}, nil
}
