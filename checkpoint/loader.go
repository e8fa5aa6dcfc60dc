package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

// Loader loads a checkpoint into an empty database. Its fields are set before
// Load and not changed.
type Loader struct {
	// Connect opens a connection with the session settings pinned.
	Connect func(context.Context) (*pgx.Conn, error)
	// ConnectRows opens one for rows and the post-data, whose role has no more rights than
	// these take; nil: Connect.
	ConnectRows func(context.Context) (*pgx.Conn, error)
	// Executor writes rows and makes indexes and constraints in a session that Load opens.
	Executor func(*pgx.Conn) Executor
	// Service is the role that gets what belongs to superusers at the source; empty: that
	// of the session.
	Service    string
	Library    *Library
	Checkpoint *Checkpoint
	Genesis    archive.Record // of the database
	Name       string         // of the database
	// Tables are those whose rows are wanted; nil: all. Foreign keys from them to
	// others are not made (LeftOut).
	Tables  []action.Name
	Without postgres.Without
	Jobs    int                   // sessions at work at once; 2 if zero
	Report  func(LoadReport)      // told now and then, by one goroutine at a time; may be nil
	Log     *slog.Logger          // nil discards
	loaded  map[place]chunkLoaded // by an earlier Load
	how     postgres.Loading      // of owners and privileges
}

// Executor writes rows and executes statements. Where code of users runs in them it has the
// rights of the role that it belongs to, and not those of the session.
//
// Each method works in a transaction that is open in the session. It may put all settings
// back to those that a session of package postgres begins with, but for
// session_replication_role and synchronous_commit.
type Executor interface {
	// Insert inserts rows, which come as COPY's text format, and returns how many.
	Insert(ctx context.Context, table action.Name, columns []string, text []byte) (int64, error)
	// Step executes a step as its role.
	Step(ctx context.Context, tx pgx.Tx, s postgres.Step) error
}

// LoadReport is how far a Load is.
type LoadReport struct {
	Done, Total int64 // bytes of rows, before compression
	Rows        int64
	Steps       int // statements of the post-data that are done, of AllSteps
	AllSteps    int
}

// StateError: the content of tables is not what a checkpoint says. Whoever signed
// it, one of the two is wrong.
type StateError struct {
	Number uint64
	Tables []action.Name
}

func (e *StateError) Error() string {
	names := make([]string, len(e.Tables))
	for i, t := range e.Tables {
		names[i] = t.String()
	}
	return fmt.Sprintf("these tables are not what checkpoint %d says they were: %s", e.Number, join(names, 10))
}

func join(names []string, limit int) string {
	text := ""
	for i, n := range names {
		switch {
		case i == limit:
			return fmt.Sprintf("%s and %d more", text, len(names)-limit)
		case i > 0:
			text += ", "
		}
		text += n
	}
	return text
}

// Load makes the database what the checkpoint says, as of its LSN, with progress
// rows that let the chain go on from there; but for views that hold rows, see
// RefreshViews. Interrupted anywhere it goes on where it was when it is called
// again with the same checkpoint and tables.
//
// It wraps ErrChunk where a chunk is not to be had, and a *StateError where rows
// and sums of the checkpoint do not agree; conn must be outside of a transaction.
func (l *Loader) Load(ctx context.Context, conn *pgx.Conn) error {
	var err error
	if l.how, err = postgres.NewLoading(ctx, conn, l.Checkpoint.Roles, l.Without); err != nil {
		return err
	}
	l.how = l.how.For(l.Service)
	at, err := l.begin(ctx, conn)
	if err != nil {
		return err
	}
	if at == phaseRows {
		if l.loaded, err = loadedChunks(ctx, conn); err != nil {
			return err
		}
		if err := l.loadRows(ctx); err != nil {
			return err
		}
		if err := l.checkRows(ctx, conn); err != nil {
			return err
		}
		if err := l.settle(ctx, conn); err != nil {
			return err
		}
		at = phaseMade
	}
	if at == phaseMade {
		if err := l.runSteps(ctx, conn); err != nil {
			return err
		}
		return l.ready(ctx, conn)
	}
	return nil
}

// begin makes schema pgbridge and all tables, unless an earlier Load did.
func (l *Loader) begin(ctx context.Context, conn *pgx.Conn) (phase, error) {
	under, found, err := LoadUnderWay(ctx, conn)
	if err != nil {
		return "", err
	}
	if found {
		if under.Digest != l.Checkpoint.Digest || !slices.Equal(under.Tables, l.Tables) {
			return "", fmt.Errorf("a restore of checkpoint %d is under way here, with other tables or of another checkpoint: go on with it, or create another database", under.Number)
		}
		l.logger().Info("the restore goes on where it was", "checkpoint", under.Number, "begun", under.StartedAt.UTC(), "phase", string(under.phase))
		return under.phase, nil
	}
	text, err := l.Library.Text(ctx, l.Checkpoint.PreData)
	if err != nil {
		return "", fmt.Errorf("schema of checkpoint %d: %w", l.Checkpoint.Number, err)
	}
	steps, err := l.steps(ctx)
	if err != nil {
		return "", err
	}
	if err := postgres.RequireEmpty(ctx, conn); err != nil {
		return "", err
	}
	if err := postgres.Install(ctx, conn); err != nil {
		return "", err
	}
	return phaseRows, pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return l.found(ctx, tx, text, steps) })
}

func (l *Loader) found(ctx context.Context, tx pgx.Tx, preData string, steps []postgres.Step) error {
	if err := postgres.LoadSchema(ctx, tx, preData, l.how); err != nil {
		return fmt.Errorf("create tables: %w", err)
	}
	if err := postgres.LendRights(ctx, tx, steps); err != nil {
		return err
	}
	err := postgres.SaveDatabase(ctx, tx, postgres.Database{
		Role: postgres.RoleFollower, Stage: postgres.StageRestore, Name: l.Name, ID: l.Genesis.Digest, Genesis: l.Genesis.Bytes,
		Without: l.Without,
	})
	if err != nil {
		return err
	}
	if err := postgres.CloseDefiners(ctx, tx); err != nil {
		return err
	}
	c := l.Checkpoint
	if err := postgres.AdmitAuthors(ctx, tx, c.Roles); err != nil {
		return err
	}
	for _, h := range c.Heads {
		err := postgres.SaveProgress(ctx, tx, postgres.Progress{
			Writer: h.Writer, Epoch: h.Epoch, Seq: h.Seq, Digest: h.Digest, Complete: true, LSN: c.LSN, Clock: h.Clock, Schema: c.Schema, Skip: c.LSN,
		})
		if err != nil {
			return err
		}
	}
	return saveUnderWay(ctx, tx, c, l.Tables)
}

// settle does what follows all rows: sequences and definitions.
func (l *Loader) settle(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := setSequences(ctx, tx, l.Checkpoint.Sequences); err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(l.Checkpoint.Definitions)) {
			text := string(l.Checkpoint.Definitions[name])
			d, err := action.ParseDefinition([]byte(text))
			if err != nil {
				return fmt.Errorf("definition of %s: %w", name, err)
			}
			if err := postgres.SaveDefinition(ctx, tx, name, d.Function, &text); err != nil {
				return err
			}
		}
		return setPhase(ctx, tx, phaseMade)
	})
}

// ready ends the load. Functions may have come with the post-data.
func (l *Loader) ready(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := postgres.CloseDefiners(ctx, tx); err != nil {
			return err
		}
		if err := postgres.FinishActions(ctx, tx); err != nil {
			return err
		}
		if l.Tables == nil { // a part of a database never follows
			if err := postgres.SetReady(ctx, tx); err != nil {
				return err
			}
		}
		return setPhase(ctx, tx, phaseTail)
	})
}

const setSequencesQuery = `SELECT count(pg_catalog.setval(c.oid, s.last, s.called)) FROM unnest($1::text[], $2::text[], $3::int8[], $4::bool[]) s (schema, name, last, called)
	JOIN pg_catalog.pg_namespace n ON n.nspname = s.schema JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = s.name AND c.relkind = 'S'`

func setSequences(ctx context.Context, tx pgx.Tx, all []Sequence) error {
	schemas, names, last, called := make([]string, len(all)), make([]string, len(all)), make([]int64, len(all)), make([]bool, len(all))
	for i, s := range all {
		schemas[i], names[i], last[i], called[i] = s.Name.Schema, s.Name.Name, s.Last, s.Called
	}
	var set int
	if err := tx.QueryRow(ctx, setSequencesQuery, schemas, names, last, called).Scan(&set); err != nil {
		return fmt.Errorf("set sequences: %w", err)
	}
	if set != len(all) {
		return errors.New("set sequences: the checkpoint names some that its schema does not have")
	}
	return nil
}

func (l *Loader) jobs() int {
	if l.Jobs > 0 {
		return l.Jobs
	}
	return 2
}

func (l *Loader) wants(root action.Name) bool {
	return l.Tables == nil || slices.Contains(l.Tables, root)
}

func (l *Loader) logger() *slog.Logger {
	if l.Log != nil {
		return l.Log
	}
	return slog.New(slog.DiscardHandler)
}
