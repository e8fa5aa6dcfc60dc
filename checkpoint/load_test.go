package checkpoint_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/internal/pgtest"
	"github.com/pgbridge/pgbridge/postgres"
)

// bulk is enough for several chunks.
const bulk = `
	CREATE TABLE bulk (id int PRIMARY KEY, plain int NOT NULL REFERENCES plain, filler text);
	CREATE INDEX bulk_filler ON bulk (md5(filler)); CREATE INDEX bulk_plain ON bulk (plain);
	INSERT INTO bulk SELECT i, 1 + i % 2000, repeat(md5(i::text), 20) FROM generate_series(1, 50000) i;
	CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.filler := ''touched''; RETURN NEW; END';
	CREATE TRIGGER touch BEFORE INSERT ON bulk FOR EACH ROW EXECUTE FUNCTION touched();
	CREATE INDEX parted_note ON parted (note);
	COMMENT ON INDEX bulk_plain IS 'of bulk';`

// newBulk is an origin of all that is odd, and of enough for several chunks. Its
// policy names a role that every server has.
func newBulk(t *testing.T) *origin {
	t.Helper()
	db := pgtest.New(t)
	db.Exec(t, strings.NewReplacer(`CREATE ROLE "ROLENAME" NOLOGIN;`, "", "ROLENAME", "pg_monitor").Replace(zoo)+bulk)
	return newOrigin(t, db)
}

func (o *origin) library(members ...archive.Finder) *checkpoint.Library {
	return &checkpoint.Library{Archive: &archive.Multi{Members: members}, DB: o.id, Writer: o.key.Writer()}
}

func (o *origin) finder(head uint64, members ...archive.Finder) *checkpoint.Finder {
	return &checkpoint.Finder{Archive: &archive.Multi{Members: members}, DB: o.id, Owner: o.key.Writer(), Epoch: 1, Head: head}
}

// genesis is the record that founded the database.
func (o *origin) genesis(t *testing.T) archive.Record {
	t.Helper()
	d, err := postgres.LoadDatabase(t.Context(), o.db.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	record, err := archive.Open(d.Genesis)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// loader loads checkpoint n into db.
func (o *origin) loader(t *testing.T, db *pgtest.DB, n uint64) *checkpoint.Loader {
	t.Helper()
	c, err := o.finder(0, o.folder).Open(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return &checkpoint.Loader{
		Connect:  func(ctx context.Context) (*pgx.Conn, error) { return postgres.Connect(ctx, db.URL()) },
		Executor: func(conn *pgx.Conn) checkpoint.Executor { return applier.NewExecutor(conn) },
		Library:  o.library(o.folder), Checkpoint: &c, Genesis: o.genesis(t), Name: "test", Jobs: 3, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

func load(t *testing.T, l *checkpoint.Loader) error {
	t.Helper()
	conn, err := l.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	return l.Load(t.Context(), conn)
}

// requireLoaded fills the views of b, and requires it to be what the origin is, also
// its definitions and sequences.
func (o *origin) requireLoaded(t *testing.T, l *checkpoint.Loader, b *pgtest.DB) {
	t.Helper()
	failed, err := checkpoint.RefreshViews(t.Context(), b.Connect(t), l.Checkpoint.Views)
	if err != nil || len(failed) > 0 {
		t.Fatalf("views: %v, %v", failed, err)
	}
	pgtest.RequireEqual(t, pgtest.Dump(t, b), pgtest.Dump(t, o.db))
	pgtest.RequireEqual(t, pgtest.DumpSchema(t, b, "--no-owner", "--no-privileges"), pgtest.DumpSchema(t, o.db, "--no-owner", "--no-privileges"))
	pgtest.RequireEqual(t, pgtest.Sequences(t, b), pgtest.Sequences(t, o.db))
}

func TestLoad(t *testing.T) {
	o, b := newBulk(t), pgtest.New(t)
	r := o.create(t)
	l := o.loader(t, b, r.Number)
	var last checkpoint.LoadReport
	l.Report = func(r checkpoint.LoadReport) { last = r }
	if err := load(t, l); err != nil {
		t.Fatal(err)
	}
	o.requireLoaded(t, l, b)
	if last.Done != last.Total || last.Done == 0 || last.Steps != last.AllSteps || last.Steps == 0 {
		t.Errorf("report: got %+v, want all done", last)
	}
	if err := checkpoint.Compare(t.Context(), l.Connect, 2, l.Checkpoint, nil); err != nil {
		t.Errorf("compare: %v", err)
	}
	b.Exec(t, `UPDATE bulk SET plain = 7 WHERE id = 17; DELETE FROM "My App"."Quoted ""T""" WHERE "The Id" = 5`)
	var differ *checkpoint.StateError
	if err := checkpoint.Compare(t.Context(), l.Connect, 2, l.Checkpoint, nil); !errors.As(err, &differ) {
		t.Fatalf("compare of changed tables: got %v, want a StateError", err)
	}
	want := []action.Name{{Schema: "My App", Name: `Quoted "T"`}, {Schema: "public", Name: "bulk"}}
	if !slices.Equal(differ.Tables, want) {
		t.Errorf("compare: got %v, want %v", differ.Tables, want)
	}
	if got := b.Value(t, "SELECT skip IS NOT NULL AND complete FROM pgbridge.progress"); got != "t" {
		t.Errorf("progress: got %s, want one that skips", got)
	}
	if err := load(t, l); err != nil { // what is done is not done again
		t.Fatal(err)
	}
	if err := checkpoint.EndRestore(t.Context(), b.Connect(t)); err != nil {
		t.Fatal(err)
	}
}

// failing is a folder that has enough of it after some chunks.
type failing struct {
	*counting
	left int
}

func (f *failing) Get(ctx context.Context, id string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left--; f.left < 0 {
		return nil, errors.New("the disk is gone")
	}
	return f.counting.Get(ctx, id)
}

// TestLoadResumes breaks a load off at every chunk, and then at every statement.
func TestLoadResumes(t *testing.T) {
	o, b := newBulk(t), pgtest.New(t)
	r := o.create(t)
	l := o.loader(t, b, r.Number)
	tries := 0
	for n := 1; ; n++ {
		l.Library = o.library(&failing{counting: o.folder, left: n})
		err := load(t, l)
		if tries++; err == nil {
			break
		}
		if !strings.Contains(err.Error(), "the disk is gone") {
			t.Fatal(err)
		}
	}
	if tries < 5 {
		t.Errorf("broken off %d times only", tries)
	}
	o.requireLoaded(t, l, b)

	// Statement by statement: each run ends at its first one.
	c := pgtest.New(t)
	l = o.loader(t, c, r.Number)
	l.Jobs = 1
	for tries = 0; ; tries++ {
		ctx, cancel := context.WithCancel(t.Context())
		l.Report = func(r checkpoint.LoadReport) {
			if r.Steps > 0 {
				cancel()
			}
		}
		conn, err := l.Connect(ctx)
		if err != nil {
			t.Fatal(err)
		}
		err = l.Load(ctx, conn)
		conn.Close(context.Background())
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if tries < 10 {
		t.Errorf("broken off %d times only", tries)
	}
	o.requireLoaded(t, l, c)
}

// TestLoadOfSomeTables loads the rows of two tables, one of which refers to a
// third.
func TestLoadOfSomeTables(t *testing.T) {
	o, b := newBulk(t), pgtest.New(t)
	l := o.loader(t, b, o.create(t).Number)
	l.Tables = []action.Name{{Schema: "public", Name: "bulk"}, {Schema: "public", Name: "parted"}}
	if err := load(t, l); err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]string{"bulk": "50000", "parted": "40", "plain": "0", "keyless": "0"} {
		if got := b.Value(t, "SELECT count(*) FROM "+table); got != want {
			t.Errorf("rows of %s: got %s, want %s", table, got, want)
		}
	}
	out, err := l.LeftOut(t.Context(), b.Connect(t))
	if want := []string{"foreign key of public.bulk to public.plain"}; err != nil || !slices.Equal(out, want) {
		t.Errorf("left out: got %q, %v, want %q", out, err, want)
	}
	if got := b.Value(t, "SELECT count(*) FROM pg_constraint WHERE contype = 'f'"); got != "0" {
		t.Errorf("foreign keys: got %s, want none", got)
	}
}

// TestLoadFromDamagedArchives: what one folder has changed or lost is taken from
// another.
func TestLoadFromDamagedArchives(t *testing.T) {
	o, b := newBulk(t), pgtest.New(t)
	r := o.create(t)
	whole := &archive.Folder{Dir: t.TempDir()}
	if err := os.CopyFS(whole.Dir, os.DirFS(o.folder.Dir)); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, path := range items(t, o.folder.Dir, "-chunk-") {
		if n++; n%2 == 0 {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		damage(t, path)
	}
	if n < 4 {
		t.Fatalf("%d chunks only", n)
	}
	l := o.loader(t, b, r.Number)
	if err := load(t, l); !errors.Is(err, checkpoint.ErrChunk) {
		t.Errorf("from the damaged one: got %v, want ErrChunk", err)
	}
	missing, err := l.Library.Missing(t.Context(), l.Checkpoint.Chunks())
	if err != nil || len(missing) != n/2 {
		t.Errorf("missing: got %d, %v, want %d", len(missing), err, n/2)
	}
	l.Library = o.library(o.folder, whole)
	if err := load(t, l); err != nil {
		t.Fatal(err)
	}
	pgtest.RequireEqual(t, pgtest.Dump(t, b), pgtest.Dump(t, o.db))
}

// items are the files below dir whose names hold a text.
func items(t *testing.T, dir, text string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.Contains(d.Name(), text) {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// damage changes one byte near the end of a file.
func damage(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw = bytes.Clone(raw)
	raw[len(raw)-3] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}
