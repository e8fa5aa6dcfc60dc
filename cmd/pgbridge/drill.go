package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pgbridge/pgbridge/checkpoint"
)

func newDrill() *cobra.Command {
	var d drill
	cmd := &cobra.Command{
		Use:   "drill",
		Short: "Restore into a throw-away server, to know that it works and how long it takes",
		Long: `Drill does what a disaster would ask for: it starts a Postgres server of its own on
this machine, restores the database into it from the archives alone, lets restore
prove the rows by the sums of the checkpoints, counts what is there, says how long
it took, and removes the server.

The database is that of --db-id, or the one that --database-url names, which may be
the source or a follower; it is only asked for its id. It keeps the results (table
pgbridge.drill), and pgbridge status tells of the last one. --out writes the result
to a file.

Restore begins with the newest checkpoint, so a drill proves that one, and what
came after it can be replayed. With --replay it begins with the one before (the
genesis, if there is none), so that the newest is what the replay is compared with:
that proves the chain in between, too, and takes longer.

The server is of the database's major version: the image postgres:VERSION, if a
Docker engine of this machine answers, else its binaries here, or those of the next
newer version. Four variables of the environment choose:

  PGBRIDGE_SERVER         docker or binaries: no other
  PGBRIDGE_SERVER_IMAGE   another image, with the extensions of the database, say
  PGBRIDGE_SERVER_BINDIR  the folder with postgres and initdb
  PGBRIDGE_SERVER_USER    as whom root runs the binaries; default: nobody

Code in the restored schema may run in that server, with the rights of its operating
system user, so no credential may be in its reach. It gets nothing of this
environment, and runs in a container or, where pgbridge is root, as another user.
Otherwise a drill refuses, unless --same-user says that the user of pgbridge holds
no credential: then it must be given none, neither --database-url nor a key, a
wallet or a password.

The server asks for a password that no other user knows. The roles of the
database are made there, and a role that is no superuser writes the rows. There must be room for the whole database: in the folder for
temporary files (TMPDIR), or where Docker keeps its volumes. However the drill ends,
killed or not, the server goes with it.

Exit codes: 0 restored and equal. 1 something was away, or it was interrupted: try
again. 2 the command line is wrong, or there is no server to start. 3 a disaster now
would be one: a person must look. Of what ended with 2, or was interrupted, no result
is kept.

With --json it prints one object: db, name, at, ok, person, error, postgres,
checkpoint (that it began with; 0: the genesis), checked (the checkpoint that it was
equal to on the way; 0: none), seq, as_of, records (replayed), tables, rows, bytes
(of the database), warnings, seconds (server, restore, count, total).`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			d.app, d.flags = a, cmd.Flags()
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&d.restore.id, "db-id", "", "the database's `id`; default: that of the database at --database-url")
	cmd.Flags().IntVar(&d.restore.jobs, "jobs", defaultJobs(), "load rows and make indexes with this `number` of sessions at once")
	cmd.Flags().BoolVar(&d.replay, "replay", false, "begin with the checkpoint before the newest, and compare with that")
	cmd.Flags().BoolVar(&d.sameUser, "same-user", false, "run the server as the user of pgbridge, who holds no credential")
	cmd.Flags().StringVar(&d.out, "out", "", "write the result to this `file`, as JSON")
	return cmd
}

// drill is one run of it.
type drill struct {
	*app
	flags    *pflag.FlagSet
	restore  restoreOptions
	replay   bool
	sameUser bool
	out      string

	report drillReport
}

// drillReport is what a drill prints and keeps.
type drillReport struct {
	DB         string       `json:"db"`
	Name       string       `json:"name"`
	At         time.Time    `json:"at"` // when it began
	OK         bool         `json:"ok"`
	Person     bool         `json:"person"`
	Error      string       `json:"error,omitempty"`
	Postgres   string       `json:"postgres"`
	Checkpoint uint64       `json:"checkpoint"`
	Checked    uint64       `json:"checked"`
	Seq        uint64       `json:"seq"`
	AsOf       time.Time    `json:"as_of"`
	Records    int          `json:"records"`
	Tables     int          `json:"tables"`
	Rows       int64        `json:"rows"`
	Bytes      int64        `json:"bytes"`
	Warnings   []string     `json:"warnings"`
	Seconds    drillSeconds `json:"seconds"`
}

// drillSeconds is how long the steps took.
type drillSeconds struct {
	Server  float64 `json:"server"`
	Restore float64 `json:"restore"`
	Count   float64 `json:"count"`
	Total   float64 `json:"total"`
}

// run drills, and tells how it went wherever that is to be told.
func (d *drill) run(ctx context.Context) error {
	began := time.Now()
	d.report.At, d.report.Warnings = began.UTC().Truncate(time.Second), []string{}
	if err := d.canKeep(); err != nil {
		return usageError{err}
	}
	if err := d.whose(ctx); err != nil {
		return err
	}
	failed := d.rehearse(ctx)
	d.report.Seconds.Total = time.Since(began).Seconds()
	var usage usageError
	switch { // it was no drill
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(failed, &usage):
		return failed
	}
	d.report.OK, d.report.Person = failed == nil, needsPerson(failed)
	if failed != nil {
		d.report.Error = failed.Error()
		failed = fmt.Errorf("the drill failed after %.1f s: %w", d.report.Seconds.Total, failed)
	}
	return errors.Join(failed, d.keep(ctx), d.tell())
}

// whose finds out which database it is.
func (d *drill) whose(ctx context.Context) error {
	if d.DatabaseURL == "" {
		id, err := parseDBID(d.restore.id)
		d.report.DB = id.String()
		return err
	}
	conn, err := d.database(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	home, err := loadReady(ctx, conn)
	if err != nil {
		return err
	}
	if d.restore.id != "" && d.restore.id != home.ID.String() {
		return usageError{fmt.Errorf("the database at --database-url is %s, not that of --db-id: leave one of the two out", home.ID)}
	}
	d.restore.id, d.report.DB = home.ID.String(), home.ID.String()
	d.report.Name = home.Name
	return nil
}

// rehearse restores into a server of its own.
func (d *drill) rehearse(ctx context.Context) (err error) {
	plan, err := d.restoring("")
	if err != nil {
		return err
	}
	plan.dryRun = true
	if err := plan.run(ctx); err != nil {
		return err
	}
	d.report.Name = plan.genesis.Name
	needs, err := plan.source(ctx)
	if err != nil {
		return err
	}
	if d.replay {
		if plan.base, err = earlier(ctx, plan); err != nil {
			return err
		}
		if needs, err = alsoNeeds(ctx, plan, needs); err != nil {
			return err
		}
	}
	theatre, err := d.open(ctx, needs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, theatre.server.Destroy(context.WithoutCancel(ctx))) }()
	began := time.Now()
	rehearsal, err := d.restoring(theatre.url)
	if err != nil {
		return err
	}
	rehearsal.authors = needs.Roles
	rehearsal.from = genesisOnly
	if plan.base != nil {
		rehearsal.from = plan.base.Number
	}
	err = rehearsal.run(ctx)
	d.report.Seconds.Restore = time.Since(began).Seconds()
	d.result(rehearsal)
	if err != nil {
		return err
	}
	return d.count(ctx, rehearsal.connectService)
}

// restoring is a restore into the database at url that prints nothing.
func (d *drill) restoring(url string) (*restoring, error) {
	quiet := *d.app
	quiet.DatabaseURL, quiet.out = url, io.Discard
	quiet.AllowSuperuser = false // that is about the database at --database-url
	r, err := d.restore.parse(&quiet, time.Now())
	if err != nil {
		return nil, usageError{err}
	}
	r.role = roleOptions{secret: rand.Text()}
	r.rights.createRoles = true // also those that the chain names later
	return r, nil
}

// earlier is the newest checkpoint before that of the plan; nil where there is none.
func earlier(ctx context.Context, plan *restoring) (*checkpoint.Checkpoint, error) {
	if plan.base == nil {
		return nil, nil
	}
	return plan.finder.Newest(ctx, 0, func(ctx context.Context, c *checkpoint.Checkpoint) error {
		if c.Number >= plan.base.Number {
			return checkpoint.ErrUnfit
		}
		return plan.whole(ctx, c)
	})
}

func (d *drill) result(r *restoring) {
	d.report.Checkpoint, d.report.Checked = r.result.Checkpoint, r.result.Checked
	d.report.Seq, d.report.AsOf, d.report.Records = r.result.Seq, r.result.At, r.result.Records
	for _, f := range r.findings {
		d.report.Warnings = append(d.report.Warnings, f.String())
	}
	for _, view := range r.result.Views {
		d.report.Warnings = append(d.report.Warnings, "materialized view "+view.String()+" could not be filled")
	}
}
