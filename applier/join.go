package applier

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

// FetchGenesis finds the genesis of db and proves it: its digest is the db-id.
func FetchGenesis(ctx context.Context, from Archive, db action.Digest) (archive.Record, postgres.Genesis, error) {
	refs, err := from.FindGenesis(ctx, db)
	if err != nil {
		return archive.Record{}, postgres.Genesis{}, fmt.Errorf("find genesis of %s: %w", db, err)
	}
	var failed error
	for _, ref := range refs {
		record, err := from.Fetch(ctx, ref)
		if err == nil && record.Digest != db {
			err = fmt.Errorf("item %s: %w: it holds record %d (%s)", ref.ID, archive.ErrForged, record.Header.Seq, record.Digest)
		}
		if err != nil {
			failed = err
			continue
		}
		genesis, err := OpenGenesis(&record)
		return record, genesis, err
	}
	if failed != nil {
		return archive.Record{}, postgres.Genesis{}, fmt.Errorf("no genesis of %s that hashes to it: %w", db, failed)
	}
	return archive.Record{}, postgres.Genesis{}, fmt.Errorf("no genesis of %s in %s: check the db-id and --archive", db, from.Name())
}

// OpenGenesis reads the body of a genesis record.
func OpenGenesis(r *archive.Record) (postgres.Genesis, error) {
	body, err := r.Body(nil)
	if err != nil {
		return postgres.Genesis{}, err
	}
	genesis, err := postgres.ParseGenesis(body)
	if err != nil {
		return postgres.Genesis{}, err
	}
	if genesis.Owner != r.Header.Writer {
		return postgres.Genesis{}, errors.New("genesis: signed by another key than its owner's")
	}
	return genesis, nil
}

// Join makes an empty database a follower of the one that record founds:
// schema pgbridge, the tables, no rows and no indexes yet. Doing it again does
// nothing. A database that is not empty, or that is something else already, is
// refused. Roles that the schema names must be there; which
// these are depends on without.
func Join(ctx context.Context, conn *pgx.Conn, record archive.Record, genesis postgres.Genesis, without postgres.Without) error {
	installed, err := postgres.Installed(ctx, conn)
	if err != nil {
		return err
	}
	if installed {
		d, err := postgres.LoadDatabase(ctx, conn)
		switch {
		case err == nil && d.Role == postgres.RoleFollower && d.ID == record.Digest:
			return nil
		case err == nil:
			return fmt.Errorf("the database is a %s of %s (%s) already: join with an empty one", d.Role, d.Name, d.ID)
		case !errors.Is(err, postgres.ErrNoDatabase):
			return err
		}
	}
	if err := postgres.RequireEmpty(ctx, conn); err != nil {
		return err
	}
	if err := postgres.Migrate(ctx, conn); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return found(ctx, tx, record, genesis, without) })
}

func found(ctx context.Context, tx pgx.Tx, record archive.Record, genesis postgres.Genesis, without postgres.Without) error {
	how, err := postgres.NewLoading(ctx, tx, genesis.Roles, without)
	if err != nil {
		return err
	}
	steps, err := postgres.Steps(genesis.PostData, how)
	if err != nil {
		return err
	}
	if err := postgres.LoadSchema(ctx, tx, genesis.PreData, how); err != nil {
		return fmt.Errorf("create tables: %w", err)
	}
	if err := postgres.LendRights(ctx, tx, steps); err != nil {
		return err
	}
	err = postgres.SaveDatabase(ctx, tx, postgres.Database{
		Role: postgres.RoleFollower, Stage: postgres.StageCopy, Name: genesis.Name, ID: record.Digest, Genesis: record.Bytes, Without: without,
	})
	if err != nil {
		return err
	}
	if err := postgres.CloseDefiners(ctx, tx); err != nil {
		return err
	}
	h := record.Header
	return postgres.SaveProgress(ctx, tx, postgres.Progress{
		Writer: h.Writer, Epoch: h.Epoch, Seq: h.Seq, Digest: record.Digest, Complete: true, LSN: h.To, Schema: h.Schema,
	})
}

// finishCopy makes what is better made after the rows: indexes, constraints,
// triggers. In one transaction with the stage, so it happens once.
func finishCopy(ctx context.Context, conn *pgx.Conn, genesis postgres.Genesis) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		d, err := postgres.LoadDatabase(ctx, tx)
		if err != nil {
			return err
		}
		how, err := postgres.NewLoading(ctx, tx, genesis.Roles, d.Without)
		if err != nil {
			return err
		}
		if err := postgres.FinishSchema(ctx, tx, genesis.PostData, how); err != nil {
			return fmt.Errorf("create indexes and constraints: %w", err)
		}
		if err := postgres.CloseDefiners(ctx, tx); err != nil {
			return err
		}
		if err := checkTables(ctx, tx); err != nil {
			return err
		}
		d.Stage = postgres.StageReady
		return postgres.SaveDatabase(ctx, tx, d)
	})
}
