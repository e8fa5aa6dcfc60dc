package checkpoint

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

// head is the chain of this database as a snapshot sees it.
type head struct {
	Head
	system   uint64
	timeline uint32
	schema   action.Digest // that the next record is written against
}

// load reads what a manifest says besides rows and sequences.
func (s *snapshot) load(ctx context.Context, d postgres.Database) (err error) {
	tx, m := s.readers[0], &s.manifest
	if s.head, err = loadHead(ctx, tx, d); err != nil {
		return err
	}
	m.LSN, m.Heads = s.position.LSN, []Head{s.head.Head}
	if m.At, err = microseconds(ctx, tx); err != nil {
		return err
	}
	server, err := postgres.LoadServer(ctx, tx)
	if err != nil {
		return err
	}
	all, err := postgres.Tables(ctx, tx)
	if err != nil {
		return err
	}
	publication, err := postgres.LoadPublication(ctx, tx, d.Publication)
	if err != nil {
		return err
	}
	if s.tables, err = chosen(all, publication.Tables); err != nil {
		return err
	}
	genesis := postgres.NewGenesis("", s.head.Writer, server, nil, s.tables, "", "")
	m.Server, m.Tables = genesis.Server, genesis.Tables
	if m.Extensions, err = loadExtensions(ctx, tx); err != nil {
		return err
	}
	if m.Definitions, err = postgres.LoadDefinitions(ctx, tx); err != nil {
		return err
	}
	m.Views, err = loadViews(ctx, tx)
	return err
}

func loadHead(ctx context.Context, tx pgx.Tx, d postgres.Database) (head, error) {
	chain, err := postgres.LoadChain(ctx, tx)
	if err != nil {
		return head{}, err
	}
	genesis, err := archive.Open(d.Genesis)
	if err != nil {
		return head{}, fmt.Errorf("open the genesis: %w", err)
	}
	return head{
		Head:   Head{Writer: chain.Writer, Epoch: chain.Epoch, Seq: chain.Seq, Digest: chain.Digest, Clock: chain.Clock},
		system: chain.System, timeline: chain.Timeline, schema: chain.SchemaOr(genesis.Header.Schema),
	}, nil
}

func loadExtensions(ctx context.Context, tx pgx.Tx) ([]Extension, error) {
	rows, err := tx.Query(ctx, `SELECT extname::text, extversion FROM pg_catalog.pg_extension ORDER BY extname::text COLLATE "C"`)
	if err != nil {
		return nil, fmt.Errorf("list extensions: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Extension])
	if err != nil {
		return nil, fmt.Errorf("list extensions: %w", err)
	}
	return all, nil
}

// loadSequences reads where the sequences stand. They obey no snapshot, so the
// tables must be locked, and the fingerprint be compared afterwards: nothing may
// restart one in between.
func (s *snapshot) loadSequences(ctx context.Context) error {
	all, err := postgres.Sequences(ctx, s.readers[0])
	if err != nil {
		return ifChanged("checkpoint", err)
	}
	s.manifest.Sequences = make([]Sequence, 0, len(all))
	for _, q := range all {
		s.manifest.Sequences = append(s.manifest.Sequences, Sequence{q.Name, q.Last, q.Called})
	}
	return nil
}
