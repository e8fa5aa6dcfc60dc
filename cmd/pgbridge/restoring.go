package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/postgres"
)

// restoring is one run of restore.
type restoring struct {
	*app
	db      action.Digest
	jobs    int
	from    uint64 // newest, genesisOnly, or a checkpoint
	until   moment
	tables  []action.Name // nil: all
	dryRun  bool
	follows bool
	role    roleOptions
	rights  rightsOptions
	began   time.Time
	conn    *pgx.Conn // nil in a dry run without a database
	locked  bool      // by this restore
	service string    // as which rows and records are written; empty: the role of conn
	// partRole is a service that ends with this restore; empty: none.
	partRole string
	// authors may be authors of statements, beside the roles of what the restore begins with.
	authors []postgres.ServerRole

	// What choose found out:
	*told
	finder   *checkpoint.Finder
	chunks   *checkpoint.Library
	stop     archive.Moment
	begun    bool                   // by an earlier run
	base     *checkpoint.Checkpoint // to begin with; nil: the genesis, or where an earlier run is
	check    *checkpoint.Checkpoint // to compare with on the way; nil: none
	needs    postgres.Source        // what the server must have
	findings []postgres.Finding

	result restored
}

// restored is what restore prints.
type restored struct {
	DB         action.Digest `json:"db"`
	Name       string        `json:"name"`
	Checkpoint uint64        `json:"checkpoint"` // that it began with; 0: the genesis
	Checked    uint64        `json:"checked"`    // the checkpoint that it was equal to on the way; 0: none
	Records    int           `json:"records"`
	Bytes      int64         `json:"bytes"`
	Seq        uint64        `json:"seq"`
	LSN        action.LSN    `json:"lsn"`
	At         time.Time     `json:"at"`
	LeftOut    []string      `json:"left_out"`
	Views      []action.Name `json:"views"` // materialized views that could not be filled
	Seconds    float64       `json:"seconds"`
}

// restore does what was chosen.
func (r *restoring) restore(ctx context.Context) error {
	if err := r.load(ctx); err != nil {
		return err
	}
	at, found, err := postgres.LoadProgress(ctx, r.conn, r.genesis.Owner)
	if err == nil && !found {
		err = errors.New("pgbridge.progress has no row of the owner: restore into an empty database")
	}
	if err != nil {
		return err
	}
	if passed(r.stop, at) {
		return personError{fmt.Errorf("the database is at record %d already, later than --until %s: restore into an empty one", at.Seq, r.until.text)}
	}
	if err := r.replay(ctx, at); err != nil {
		return err
	}
	if err := r.finish(ctx); err != nil {
		return err
	}
	return r.printResult()
}

// load brings the database to where the replay begins.
func (r *restoring) load(ctx context.Context) error {
	r.result = restored{DB: r.db, Name: r.genesis.Name, LeftOut: []string{}, Views: []action.Name{}}
	if !r.begun {
		if err := r.rights.make(ctx, r.app, r.conn, r.needs); err != nil {
			return err
		}
	}
	if r.base != nil {
		return r.loadCheckpoint(ctx)
	}
	if r.begun {
		return nil
	}
	with := applier.Joining{Service: r.service, Without: r.rights.without}
	if err := applier.Join(ctx, r.conn, r.record, r.genesis, with); err != nil {
		return err
	}
	if r.tables == nil {
		return nil
	}
	return checkpoint.BeginFromGenesis(ctx, r.conn, r.db, r.tables)
}

func (r *restoring) loadCheckpoint(ctx context.Context) error {
	r.result.Checkpoint = r.base.Number
	r.log.Info("restore begins with a checkpoint", "checkpoint", r.base.Number, "at", time.UnixMicro(r.base.At).UTC())
	m := newLoadMeter(r.app, r.genesis.Name)
	l := r.loader()
	l.Report = m.report
	err := l.Load(ctx, r.conn)
	m.end()
	return r.failed(err)
}

func (r *restoring) loader() *checkpoint.Loader {
	return &checkpoint.Loader{
		Connect: r.connect, Library: r.chunks, Checkpoint: r.base, Genesis: r.record, Name: r.genesis.Name, Tables: r.tables, Jobs: r.jobs, Log: r.log,
		Without: r.rights.without, ConnectRows: r.connectService, Service: r.service,
		Executor: func(conn *pgx.Conn) checkpoint.Executor { return applier.NewExecutor(conn) },
	}
}

// connectService opens a session as the service role, where there is one: what archives
// hold is written with its rights, and only definitions with those of an administrator.
func (r *restoring) connectService(ctx context.Context) (*pgx.Conn, error) {
	if r.service == "" {
		return r.connect(ctx)
	}
	url, err := r.serviceURL(r.role, r.service)
	if err != nil {
		return nil, err
	}
	conn, err := postgres.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("%w: rows are written as this role: let it in (pg_hba.conf, --role-password-file), or give --allow-superuser to write them as this one", err)
	}
	return conn, nil
}

// failed says of an error that the restore failed for good, if it did.
func (r *restoring) failed(err error) error {
	var differ *checkpoint.StateError
	switch {
	case errors.As(err, &differ):
		return personError{fmt.Errorf("restore failed: %w: do not use this database; create another one and begin with another checkpoint (--checkpoint N, or none)", err)}
	case errors.Is(err, checkpoint.ErrChunk):
		return personError{fmt.Errorf("%w: give an archive that has it with --archive and run the same again, or create another database and begin with another checkpoint (--checkpoint N, or none)", err)}
	}
	return err
}

// replay applies the chain, and compares the database with the checkpoint that it
// passes.
func (r *restoring) replay(ctx context.Context, at postgres.Progress) error {
	genesis, err := r.part(ctx)
	if err != nil {
		return err
	}
	m := newMeter(r.app, genesis.Name, min(at.Seq, r.finder.Head), r.finder.Head)
	defer m.end()
	r.result.Seq, r.result.LSN, r.result.At = at.Seq, at.LSN, at.Clock.Time()
	if r.base != nil {
		r.result.At = time.UnixMicro(r.base.At).UTC()
	}
	if r.check == nil || at.LSN >= r.check.LSN {
		_, err := r.apply(ctx, m, genesis, r.stop)
		return err
	}
	until := r.stop
	if until.Before == 0 || until.Before > r.check.LSN {
		until.Before = r.check.LSN
	}
	next, err := r.apply(ctx, m, genesis, until)
	if err != nil || next.LSN < r.check.LSN {
		return err // it ended before
	}
	if err := r.compare(ctx); err != nil {
		return err
	}
	_, err = r.apply(ctx, m, genesis, r.stop)
	return err
}

// apply replays up to a moment and returns the transaction after it, a zero one at
// the end of the chain.
func (r *restoring) apply(ctx context.Context, m *meter, genesis postgres.Genesis, until archive.Moment) (next action.Tx, err error) {
	apply := &applier.Applier{
		Connect: r.connectService, Archive: r.archive, DB: r.db, Genesis: genesis, ToEnd: true, Until: until, Only: r.tables, Log: r.log,
		Roles:   r.readyRoles,
		Reached: func(tx action.Tx) { next = tx },
	}
	before := r.result
	apply.Progress = func(p applier.Report) {
		r.result.Records, r.result.Bytes = before.Records+p.Records, before.Bytes+p.Bytes
		if p.Seq > 0 && !p.Clock.Time().Before(r.result.At) {
			r.result.At = p.Clock.Time()
		}
		r.result.Seq, r.result.LSN = p.Seq, p.LSN
		if p.Torn > 0 {
			r.result.LeftOut = append(r.result.LeftOut, fmt.Sprintf("a transaction that ends in no archive: what there is of it ends with record %d", p.Torn))
		}
		m.report(p)
	}
	return next, apply.Run(ctx)
}

// compare compares the database with the checkpoint that it is passing.
func (r *restoring) compare(ctx context.Context) error {
	if err := checkpoint.Compare(ctx, r.connectService, r.jobs, r.check, r.tables); err != nil {
		return r.failed(err)
	}
	r.result.Checked = r.check.Number
	r.log.Info("the database is equal to a checkpoint on the way", "checkpoint", r.check.Number)
	return nil
}

// part is the genesis without what cannot be made for a part of the database, and
// says what is left out.
func (r *restoring) part(ctx context.Context) (postgres.Genesis, error) {
	g := r.genesis
	if r.tables == nil {
		return g, nil
	}
	for _, name := range r.published() {
		if !slices.Contains(r.tables, name) {
			r.result.LeftOut = append(r.result.LeftOut, "rows of "+name.String())
		}
	}
	if r.base != nil {
		keys, err := r.loader().LeftOut(ctx, r.conn)
		r.result.LeftOut = append(r.result.LeftOut, keys...)
		return g, err
	}
	steps, err := postgres.Steps(g.PostData, postgres.Loading{})
	if err != nil {
		return g, err
	}
	kept, keys, err := checkpoint.Part(ctx, r.conn, steps, r.tables)
	if err != nil {
		return g, err
	}
	r.result.LeftOut = append(r.result.LeftOut, keys...)
	statements := make([]postgres.Statement, len(kept))
	for i, s := range kept {
		statements[i] = s.Statement
	}
	g.PostData = postgres.SchemaText(statements)
	return g, nil
}

// finish does what is to be done once, when everything is applied.
func (r *restoring) finish(ctx context.Context) error {
	if r.base != nil {
		failed, err := checkpoint.RefreshViews(ctx, r.conn, r.base.Views)
		if err != nil {
			return err
		}
		for view, why := range failed {
			r.log.Warn("a materialized view could not be filled: REFRESH MATERIALIZED VIEW it by hand", "view", view, "error", why)
			r.result.Views = append(r.result.Views, view)
		}
	}
	if r.tables != nil {
		return r.endPart(ctx)
	}
	return checkpoint.EndRestore(ctx, r.conn)
}

func (r *restoring) printResult() error {
	out := r.result
	out.Seconds = time.Since(r.began).Seconds()
	var b strings.Builder
	fmt.Fprintf(&b, "restored %s (%s): record %d, as of %s, in %.1f s\n", out.Name, r.db, out.Seq, out.At.Format(time.RFC3339), out.Seconds)
	if out.Checkpoint > 0 {
		fmt.Fprintf(&b, "it began with checkpoint %d, and %d records were replayed\n", out.Checkpoint, out.Records)
	}
	if out.Checked > 0 {
		fmt.Fprintf(&b, "on the way it was equal to checkpoint %d\n", out.Checked)
	}
	for _, left := range out.LeftOut {
		fmt.Fprintf(&b, "left out: %s\n", left)
	}
	for _, view := range out.Views {
		fmt.Fprintf(&b, "not filled: materialized view %s\n", view)
	}
	if r.tables != nil {
		b.WriteString("this is a part of the database: schema pgbridge was dropped, and it cannot follow\n")
	}
	return r.print(out, "%s", b.String())
}

// passed tells whether a database is beyond a moment already.
func passed(u archive.Moment, p postgres.Progress) bool {
	switch {
	case !u.Time.IsZero() && p.Clock.Time().After(u.Time), u.Before > 0 && p.LSN >= u.Before && p.Skip == 0:
		return true
	}
	q := u.Place
	if q.Seq == 0 || q.Writer != p.Writer || p.Epoch != q.Epoch {
		return q.Seq > 0 && q.Writer == p.Writer && p.Epoch > q.Epoch
	}
	return p.Seq > q.Seq || p.Seq == q.Seq && q.Tx != archive.WholeRecord && p.Txs > q.Tx+1
}
