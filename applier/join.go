package applier

import (
	"context"
	"errors"
	"fmt"
	"slices"

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

// Joining is how a database is made a follower.
type Joining struct {
	// Service is the role as which it will be applied, and which gets what belongs to
	// superusers at the source; empty: that of the session.
	Service string
	Without postgres.Without
}

// Join makes an empty database a follower of the one that record founds:
// schema pgbridge, the tables, no rows and no indexes yet. Doing it again does
// nothing. A database that is not empty, or that is something else already, is
// refused. Roles that the schema names must be there; which
// these are depends on with.Without.
func Join(ctx context.Context, conn *pgx.Conn, record archive.Record, genesis postgres.Genesis, with Joining) error {
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
	if err := postgres.Install(ctx, conn); err != nil {
		return err
	}
	if with.Service != "" {
		if err := postgres.SetServiceRole(ctx, conn, with.Service); err != nil {
			return err
		}
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return found(ctx, tx, record, genesis, with) })
}

func found(ctx context.Context, tx pgx.Tx, record archive.Record, genesis postgres.Genesis, with Joining) error {
	how, err := postgres.NewLoading(ctx, tx, genesis.Roles, with.Without)
	if err != nil {
		return err
	}
	how = how.For(with.Service)
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
		Role: postgres.RoleFollower, Stage: postgres.StageCopy, Name: genesis.Name, ID: record.Digest, Genesis: record.Bytes, Without: with.Without,
	})
	if err != nil {
		return err
	}
	if err := postgres.CloseDefiners(ctx, tx); err != nil {
		return err
	}
	if err := postgres.AdmitAuthors(ctx, tx, genesis.Roles); err != nil {
		return err
	}
	h := record.Header
	return postgres.SaveProgress(ctx, tx, postgres.Progress{
		Writer: h.Writer, Epoch: h.Epoch, Seq: h.Seq, Digest: record.Digest, Complete: true, LSN: h.To, Schema: h.Schema,
	})
}

// finishCopy makes what is better made after the rows: indexes, constraints,
// triggers. In one transaction with the stage, so it happens once.
func finishCopy(ctx context.Context, run *runners, genesis postgres.Genesis) error {
	run.begin()
	return pgx.BeginFunc(ctx, run.conn, func(tx pgx.Tx) error {
		if err := finishSchema(ctx, run, tx, genesis); err != nil {
			return fmt.Errorf("create indexes and constraints: %w", err)
		}
		if err := checkTables(ctx, tx); err != nil {
			return err
		}
		if err := run.finish(ctx); err != nil {
			return err
		}
		return postgres.SetReady(ctx, tx)
	})
}

// finishSchema executes each statement of the post-data as the role that it names. What
// Join lent these roles is taken back before rights are given.
func finishSchema(ctx context.Context, run *runners, tx pgx.Tx, genesis postgres.Genesis) error {
	d, err := postgres.LoadDatabase(ctx, tx)
	if err != nil {
		return err
	}
	how, err := postgres.NewLoading(ctx, tx, genesis.Roles, d.Without)
	if err != nil {
		return err
	}
	steps, err := postgres.Steps(genesis.PostData, how)
	if err != nil {
		return err
	}
	return run.steps(ctx, tx, steps)
}

// steps executes the statements of a post-data. What was lent to their roles is taken back
// before rights are given.
func (r *runners) steps(ctx context.Context, tx pgx.Tx, steps []postgres.Step) error {
	rights := slices.IndexFunc(steps, func(s postgres.Step) bool { return s.Phase == postgres.PhaseRights })
	if rights < 0 {
		rights = len(steps)
	}
	for _, s := range steps[:rights] {
		if err := r.step(ctx, tx, s); err != nil {
			return err
		}
	}
	if err := postgres.ReturnRights(ctx, tx); err != nil {
		return err
	}
	for _, s := range steps[rights:] {
		if err := r.step(ctx, tx, s); err != nil {
			return err
		}
	}
	return nil
}

// step executes a statement of a post-data.
func (r *runners) step(ctx context.Context, tx pgx.Tx, s postgres.Step) error {
	direct, err := r.direct(ctx, s.Role())
	if err != nil {
		return err
	}
	if direct {
		return postgres.RunStep(ctx, tx, s)
	}
	if _, err := r.run(ctx, s.Role(), s.Text, nil); err != nil {
		return fmt.Errorf("%w in: %s", err, s.Text)
	}
	return nil
}
