package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/postgres"
)

// Where a restore begins, other than with the checkpoint of a number.
const (
	newest      = 0
	genesisOnly = 1 << 63
)

// choose finds out what there is, and decides what to do with it. Nothing is
// written. What stands in the way is an error, but of a dry run.
func (r *restoring) choose(ctx context.Context, reader *archive.Multi) error {
	var err error
	if r.told, err = r.toldBy(ctx, reader, r.db); err != nil {
		return err
	}
	if r.finder, err = r.checkpoints(ctx); err != nil {
		return err
	}
	r.chunks = r.library()
	var latest action.LSN
	if r.stop, latest, err = r.resolve(ctx, r.until); err != nil {
		return fmt.Errorf("--until: %w", err)
	}
	if err := r.look(ctx); err != nil {
		return err
	}
	if !r.begun {
		if err := r.chooseBase(ctx, latest); err != nil {
			return err
		}
	}
	if err := r.chooseCheck(ctx, latest); err != nil {
		return err
	}
	if err := r.checkTables(); err != nil {
		return err
	}
	return r.checkTarget(ctx)
}

// look finds out whether a restore was begun in the database already.
func (r *restoring) look(ctx context.Context) error {
	if r.conn == nil {
		return nil
	}
	installed, err := postgres.Installed(ctx, r.conn)
	if err != nil || !installed {
		return err
	}
	d, err := postgres.LoadDatabase(ctx, r.conn)
	switch {
	case errors.Is(err, postgres.ErrNoDatabase):
		return nil
	case err != nil:
		return err
	case d.Role != postgres.RoleFollower || d.ID != r.db:
		return personError{fmt.Errorf("the database is a %s of %s (%s) already: restore into an empty one", d.Role, d.Name, d.ID)}
	}
	r.begun = true
	if err := r.rights.same(d); err != nil {
		return err
	}
	under, found, err := checkpoint.LoadUnderWay(ctx, r.conn)
	if err != nil {
		return err
	}
	if !slices.Equal(under.Tables, r.tables) {
		return usageError{fmt.Errorf("the restore that was begun here is of other tables (%s): give the same --table, or restore into another database", tableList(under.Tables))}
	}
	if found && under.Number > 0 {
		c, err := r.finder.Open(ctx, under.Number)
		if err == nil && c.Digest != under.Digest {
			err = fmt.Errorf("checkpoint %d: the archive has another one now (%s)", under.Number, c.Digest)
		}
		if err != nil {
			return err
		}
		r.base = &c
	}
	return nil
}

func tableList(names []action.Name) string {
	if len(names) == 0 {
		return "all"
	}
	var texts []string
	for _, n := range names {
		texts = append(texts, n.String())
	}
	return strings.Join(texts, ", ")
}

// chooseBase decides with which checkpoint to begin, or with none. latest is as
// resolve gives it.
func (r *restoring) chooseBase(ctx context.Context, latest action.LSN) error {
	if r.from == genesisOnly {
		return nil
	}
	fits := func(ctx context.Context, c *checkpoint.Checkpoint) error {
		if !r.reaches(c, latest) {
			return checkpoint.ErrUnfit
		}
		return r.whole(ctx, c)
	}
	if r.from != newest {
		c, err := confirmed(ctx, r.finder, r.from)
		if err == nil {
			err = fits(ctx, c)
		}
		if errors.Is(err, checkpoint.ErrUnfit) {
			err = usageError{fmt.Errorf("--checkpoint %d is of %s, later than --until %s", c.Number, time.UnixMicro(c.At).UTC().Format(time.RFC3339), r.until.text)}
		}
		r.base = c
		return err
	}
	var err error
	if r.base, err = r.finder.Newest(ctx, 0, fits); err != nil {
		return err
	}
	if r.base == nil {
		r.log.Info("no checkpoint can be used: everything is replayed from the genesis")
	}
	return nil
}

// whole returns an error if there are chunks of c that no archive lists.
func (r *restoring) whole(ctx context.Context, c *checkpoint.Checkpoint) error {
	missing, err := r.chunks.Missing(ctx, c.Chunks())
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("%d of %d chunks are missing, the first is %d (asked: %s)", len(missing), len(c.Chunks()), missing[0].Seq, r.archive.Name())
	}
	return err
}

// reaches tells whether a restore that begins with c, or passes it, can end where
// it is to end.
func (r *restoring) reaches(c *checkpoint.Checkpoint, latest action.LSN) bool {
	if latest > 0 {
		return c.LSN <= latest
	}
	return r.stop.Time.IsZero() || !time.UnixMicro(c.At).After(r.stop.Time)
}

// chooseCheck finds the last confirmed checkpoint on the way, by which the result
// is checked.
func (r *restoring) chooseCheck(ctx context.Context, latest action.LSN) error {
	after, from := uint64(0), action.LSN(0)
	if r.base != nil {
		after, from = r.base.Number, r.base.LSN
	}
	var err error
	r.check, err = r.finder.Newest(ctx, after, func(_ context.Context, c *checkpoint.Checkpoint) error {
		if c.LSN <= from || !r.reaches(c, latest) {
			return checkpoint.ErrUnfit
		}
		return nil
	})
	return err
}

// published are the tables of the database where the restore begins.
func (r *restoring) published() []action.Name {
	tables := r.genesis.Tables
	if r.base != nil {
		tables = r.base.Tables
	}
	names := make([]action.Name, len(tables))
	for i, t := range tables {
		names[i] = t.Name
	}
	return names
}

func (r *restoring) checkTables() error {
	known := r.published()
	for _, t := range r.tables {
		if !slices.Contains(known, t) {
			return usageError{fmt.Errorf("--table %s: the database has no such table; it has %s", t, tableList(known))}
		}
	}
	return nil
}

// source is what the server must have.
func (r *restoring) source(ctx context.Context) (postgres.Source, error) {
	if r.base == nil {
		g := &r.genesis
		return r.rights.source(ctx, r.conn, g.Server, g.Roles, g.PreData, g.PostData)
	}
	var texts [2]string
	for i, chunks := range [][]checkpoint.Chunk{r.base.PreData, r.base.PostData} {
		var err error
		if texts[i], err = r.chunks.Text(ctx, chunks); err != nil {
			return postgres.Source{}, r.failed(fmt.Errorf("schema of checkpoint %d: %w", r.base.Number, err))
		}
	}
	source, err := r.rights.source(ctx, r.conn, r.base.Server, r.base.Roles, texts[0], texts[1])
	source.Extensions = nil
	for _, e := range r.base.Extensions {
		source.Extensions = append(source.Extensions, e.Name)
	}
	return source, err
}

// checkTarget looks whether the server can take the database in.
func (r *restoring) checkTarget(ctx context.Context) error {
	if r.conn == nil || r.begun {
		return nil
	}
	var err error
	if r.needs, err = r.source(ctx); err != nil {
		return err
	}
	if r.needs.Service, err = r.serviceRole(ctx); err != nil {
		return err
	}
	if r.findings, err = postgres.CheckSource(ctx, r.conn, r.needs); err != nil {
		return err
	}
	own, err := postgres.Check(ctx, r.conn, postgres.Options{Role: postgres.RoleFollower})
	if err != nil {
		return err
	}
	r.findings = append(r.findings, own...)
	if r.dryRun {
		return nil
	}
	return r.refuse(r.findings)
}
