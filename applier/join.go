package applier

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/sql"
)

// FetchGenesis finds the genesis of db and proves it: its digest is the db-id.
func FetchGenesis(ctx context.Context, from Archive, db action.Digest) (archive.Record, sql.Genesis, error) {
	refs, err := from.FindGenesis(ctx, db)
	if err != nil {
		return archive.Record{}, sql.Genesis{}, fmt.Errorf("find genesis of %s: %w", db, err)
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
		return archive.Record{}, sql.Genesis{}, fmt.Errorf("no genesis of %s that hashes to it: %w", db, failed)
	}
	return archive.Record{}, sql.Genesis{}, fmt.Errorf("no genesis of %s in %s: check the db-id and --archive", db, from.Name())
}

// OpenGenesis reads the body of a genesis record.
func OpenGenesis(r *archive.Record) (sql.Genesis, error) {
	body, err := r.Body(nil)
	if err != nil {
		return sql.Genesis{}, err
	}
	genesis, err := sql.ParseGenesis(body)
	if err != nil {
		return sql.Genesis{}, err
	}
	if genesis.Owner != r.Header.Writer {
		return sql.Genesis{}, errors.New("genesis: signed by another key than its owner's")
	}
	return genesis, nil
}

// Join makes an empty database a follower of the one that record founds:
// schema pgbridge, the tables, no rows and no indexes yet. Doing it again does
// nothing. A database that is not empty, or that is something else already, is
// refused.
func Join(ctx context.Context, conn *pgx.Conn, record archive.Record, genesis sql.Genesis) error {
	installed, err := sql.Installed(ctx, conn)
	if err != nil {
		return err
	}
	if installed {
		d, err := sql.LoadDatabase(ctx, conn)
		switch {
		case err == nil && d.Role == sql.RoleFollower && d.ID == record.Digest:
			return nil
		case err == nil:
			return fmt.Errorf("the database is a %s of %s (%s) already: join with an empty one", d.Role, d.Name, d.ID)
		case !errors.Is(err, sql.ErrNoDatabase):
			return err
		}
	}
	if err := sql.RequireEmpty(ctx, conn); err != nil {
		return err
	}
	if err := sql.Migrate(ctx, conn); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return found(ctx, tx, record, genesis) })
}

func found(ctx context.Context, tx pgx.Tx, record archive.Record, genesis sql.Genesis) error {
	if err := sql.LoadSchema(ctx, tx, genesis.PreData); err != nil {
		return fmt.Errorf("create tables: %w", err)
	}
	if err := sql.CloseDefiners(ctx, tx); err != nil {
		return err
	}
	err := sql.SaveDatabase(ctx, tx, sql.Database{
		Role: sql.RoleFollower, Stage: sql.StageCopy, Name: genesis.Name, ID: record.Digest, Genesis: record.Bytes,
	})
	if err != nil {
		return err
	}
	h := record.Header
	return sql.SaveProgress(ctx, tx, sql.Progress{
		Writer: h.Writer, Epoch: h.Epoch, Seq: h.Seq, Digest: record.Digest, Complete: true, LSN: h.To, Schema: h.Schema,
	})
}

// finishCopy makes what is better made after the rows: indexes, constraints,
// triggers. In one transaction with the stage, so it happens once.
func finishCopy(ctx context.Context, conn *pgx.Conn, genesis sql.Genesis) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := sql.LoadSchema(ctx, tx, genesis.PostData); err != nil {
			return fmt.Errorf("create indexes and constraints: %w", err)
		}
		d, err := sql.LoadDatabase(ctx, tx)
		if err != nil {
			return err
		}
		if err := checkTables(ctx, tx); err != nil {
			return err
		}
		d.Stage = sql.StageReady
		return sql.SaveDatabase(ctx, tx, d)
	})
}
