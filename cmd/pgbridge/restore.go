package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/postgres"
)

func newRestore() *cobra.Command {
	var o restoreOptions
	cmd := &cobra.Command{
		Use:   "restore --db-id ID",
		Short: "Rebuild a database from the archive, into an empty one",
		Long:  restoreHelp,
		Example: `  createdb copy
  pgbridge restore --database-url postgres:///copy --archive https://archive.example --db-id ID
  pgbridge restore ... --until 2026-11-20T10:00:00Z
  pgbridge restore ... --table app.posts --table app.tags
  pgbridge restore ... --follow`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			r, err := o.parse(a, time.Now())
			if err != nil {
				return usageError{err}
			}
			return r.run(cmd.Context())
		},
	}
	o.flags(cmd.Flags())
	return cmd
}

const restoreHelp = `Restore finds the genesis of the database in the archive, proves it by the
db-id, and makes the empty database that --database-url names what the database
was: schema, rows, indexes, constraints, sequences. It begins with the newest
checkpoint that the chain confirms and that can be read (see pgbridge checkpoint),
or with the genesis where there is none, and replays what was written after it. It
calls no function of the database. Interrupted anywhere, the same command goes on
where it was.

Before anything is written it looks whether the server can take the database in:
encoding, collation, extensions, roles, version, rights. What stands in the way is
listed, all of it at once; for roles with the statements that make them.

Owners and privileges are restored as pg_restore does. What belonged to a superuser
belongs to the role that restores. --create-roles makes the roles that are missing:
NOLOGIN, without a password, and without SUPERUSER, CREATEROLE, REPLICATION and
BYPASSRLS. With --no-owner everything belongs to the role that restores; with
--no-privileges nothing is granted or revoked. With one of the two, functions that
run with their owner's rights can be executed by their owner only, as actions always.

The result is proven on the way: the chain by its hashes and signatures, the rows of
a checkpoint by its sums, and the whole database by the sums of the last later
checkpoint that the replay passes. Where tables differ restore fails with their
names, exit code 3.

As of another moment than the last:

    --until 2026-11-20T10:00:00Z   what was committed then, or before
    --until 90m                    the same, how long ago
    --until checkpoint:7           what checkpoint 7 holds
    --until 1:5120                 up to record 5120 of epoch 1, as pgbridge log prints
                                   it, or history, which puts the writer in front
    --until 1:5120:3               up to transaction 3 of it, from 0
    --until tzxw…3Q                up to the record in the data item with this id of 43
                                   characters; with :3 behind it up to that transaction

A part of it: with --table only the rows of those tables are loaded. All others are
empty, and foreign keys to them are not made, which is said. Such a database is
plain: schema pgbridge is dropped in the end, with the column defaults that use it,
and it cannot follow.

--dry-run says what would be done: which checkpoint, how much there is to fetch and
to replay, about how long, and what stands in the way. It writes nothing, and needs
no database.

Exit codes: 0 restored. 1 try again, it goes on. 2 the command line is wrong. 3 a
person must decide: something stands in the way, records are missing, or tables
differ.`

// restoreOptions are the flags of restore, as they were given.
type restoreOptions struct {
	id, until, from, checkpoint string
	tables                      []string
	jobs                        int
	dryRun, follow              bool
	role                        roleOptions
	rights                      rightsOptions
}

func (o *restoreOptions) flags(flags *pflag.FlagSet) {
	dbIDFlag(flags, &o.id)
	flags.IntVar(&o.jobs, "jobs", defaultJobs(), "load rows and make indexes with this `number` of sessions at once")
	flags.StringVar(&o.until, "until", "", "as of this `moment`: a time, checkpoint:N, EPOCH:RECORD[:TRANSACTION], or the id of an item")
	flags.StringSliceVar(&o.tables, "table", nil, "only the rows of this `schema.table`, may be repeated")
	flags.StringVar(&o.from, "from", "", "only from the archive of this `URL`, whatever else is configured")
	flags.StringVar(&o.checkpoint, "checkpoint", "", "begin with the checkpoint of this `number`, or with none; default: the newest that can be used")
	flags.BoolVar(&o.follow, "follow", false, "when it is restored, stay and follow, as pgbridge run does")
	o.role.flags(flags)
	o.rights.flags(flags)
	flags.BoolVar(&o.dryRun, "dry-run", false, "say what would be done, and write nothing")
}

func defaultJobs() int { return min(max(runtime.NumCPU(), 2), 8) }

// parse makes a restore of the flags.
func (o *restoreOptions) parse(a *app, now time.Time) (*restoring, error) {
	r := &restoring{app: a, jobs: o.jobs, dryRun: o.dryRun, follows: o.follow, role: o.role, rights: o.rights, began: now, from: newest}
	var err error
	if r.db, err = parseDBID(o.id); err != nil {
		return nil, err
	}
	if r.until, err = parseMoment(o.until, now); err != nil {
		return nil, fmt.Errorf("--until: %w", err)
	}
	switch {
	case o.jobs < 1 || o.jobs > 64:
		return nil, fmt.Errorf("--jobs %d: want 1 to 64", o.jobs)
	case o.follow && o.until != "":
		return nil, errors.New("--follow goes on beyond --until: give one of the two")
	case o.follow && len(o.tables) > 0:
		return nil, errors.New("a part of a database cannot follow: give --follow or --table")
	case o.checkpoint == "none":
		r.from = genesisOnly
	case o.checkpoint != "":
		if r.from, err = strconv.ParseUint(o.checkpoint, 10, 63); err != nil || r.from == 0 {
			return nil, fmt.Errorf("--checkpoint %q: want a number, or none", o.checkpoint)
		}
	}
	if r.tables, err = parseTables(o.tables); err != nil {
		return nil, err
	}
	if o.from != "" {
		a.Archives = []string{o.from}
	}
	return r, nil
}

// parseTables reads names, in order and each once; nil for none.
func parseTables(texts []string) (names []action.Name, err error) {
	for _, text := range texts {
		name, err := action.ParseName(text)
		if err != nil {
			return nil, fmt.Errorf("--table: %w", err)
		}
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b action.Name) int {
		return slices.Compare([]string{a.Schema, a.Name}, []string{b.Schema, b.Name})
	})
	return slices.Compact(names), nil
}

// run restores, or says what it would do.
func (r *restoring) run(ctx context.Context) (err error) {
	reader, err := r.reader()
	if err != nil {
		return err
	}
	if !r.dryRun || r.DatabaseURL != "" {
		conn, err := r.database(ctx)
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		r.conn = conn
		if !r.dryRun {
			if err := r.lock(ctx); err != nil {
				return err
			}
		}
	}
	if err := r.choose(ctx, reader); err != nil {
		return err
	}
	if r.dryRun {
		return r.printPlan()
	}
	if !r.locked {
		if err := r.prepare(ctx); err != nil {
			return err
		}
	}
	role, err := r.makeServiceRole(ctx)
	if err != nil {
		return err
	}
	if role != "" {
		if err := r.admitRole(ctx, r.conn, r.role, role); err != nil {
			return err
		}
		if !r.AllowSuperuser {
			r.service = role
		}
	}
	if err := postgres.AdmitAuthors(ctx, r.conn, r.authors); err != nil {
		return err
	}
	if err := r.restore(ctx); err != nil {
		return err
	}
	if !r.follows {
		return nil
	}
	r.conn.Close(ctx)
	if r.service != "" {
		if r.DatabaseURL, err = r.serviceURL(r.role, r.service); err != nil {
			return err
		}
	}
	return untilStopped(ctx, r.app.run(ctx))
}

// lock keeps other restores out of the database, if schema pgbridge is there.
func (r *restoring) lock(ctx context.Context) error {
	installed, err := postgres.Installed(ctx, r.conn)
	if err != nil || !installed {
		return err
	}
	r.locked = true
	return checkpoint.LockRestore(ctx, r.conn)
}

// prepare makes schema pgbridge in an empty database, and locks it. Nothing is left of a
// restore that is refused before.
func (r *restoring) prepare(ctx context.Context) error {
	if err := postgres.RequireEmpty(ctx, r.conn); err != nil {
		return personError{err}
	}
	if err := postgres.Install(ctx, r.conn); err != nil {
		return err
	}
	if err := r.lock(ctx); err != nil {
		return err
	}
	if _, err := postgres.LoadDatabase(ctx, r.conn); !errors.Is(err, postgres.ErrNoDatabase) {
		if err == nil {
			err = errors.New("another pgbridge restore has just begun in this database: run it again to go on with that")
		}
		return err
	}
	return nil
}
