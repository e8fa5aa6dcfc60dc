package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// TestCheckpointRestoreKilled kills a restore again and again, each time a little later, and
// requires that the last one ends with what the source has.
func TestCheckpointRestoreKilled(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.db.Exec(t, `INSERT INTO app.sale (customer, product, note) SELECT 1 + i % 500, 1 + i % 50, repeat(md5(i::text), 30) FROM generate_series(1, 60000) i`)
	s.checkpointed(t)
	sell(t, s.db, 50)
	published(t, s.db)
	for _, c := range []struct {
		name string
		args []string
	}{{"whole", nil}, {"a part", []string{"--table", "app.sale"}}} {
		t.Run(c.name, func(t *testing.T) {
			db := pgtest.New(t)
			copied := s.copyIn(t, db)
			args := append([]string{"restore", "--db-id", s.id, "--jobs", "2"}, c.args...)
			phases := map[string]bool{}
			kills := 0
			for after := 150 * time.Millisecond; ; after += after / 5 {
				p := copied.start(t, args...)
				select {
				case <-p.exited:
				case <-time.After(after):
				}
				p.kill()
				noSessions(t, db)
				if db.Value(t, "SELECT to_regclass('pgbridge.restore') IS NOT NULL") == "t" {
					for _, row := range db.Query(t, "SELECT phase || (SELECT count(*) > 0 FROM pgbridge.restore_chunk) || (SELECT count(*) > 0 FROM pgbridge.restore_step) FROM pgbridge.restore") {
						phases[row[0]] = true
					}
				}
				if strings.Contains(p.String(), "restored shop") {
					break
				}
				if c.args != nil && restoredPart(t, db) { // killed before it could say so
					break
				}
				if state := p.cmd.ProcessState; state.Exited() {
					t.Fatalf("it ended by itself, with %d:\n%s", state.ExitCode(), p)
				}
				kills++
			}
			if kills < 3 || len(phases) < 2 {
				t.Errorf("killed %d times, in phases %v: too few to mean anything", kills, phases)
			}
			if c.args == nil {
				pgtest.RequireEqual(t, contents(t, db), contents(t, s.db))
				return
			}
			pgtest.RequireEqual(t, pgtest.Dump(t, db, "--table=app.sale"), pgtest.Dump(t, s.db, "--table=app.sale"))
		})
	}
}

// restoredPart tells whether the last step of a part is done: schema pgbridge is
// gone again.
func restoredPart(t *testing.T, db *pgtest.DB) bool {
	t.Helper()
	return db.Value(t, "SELECT to_regclass('app.sale') IS NOT NULL AND to_regnamespace('pgbridge') IS NULL") == "t"
}

// chunkFiles are the files of the chunks in a folder, by name.
func chunkFiles(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.Contains(d.Name(), "-chunk-") {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func unlink(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func spoil(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-3] ^= 1
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRestoreFromDamagedArchives: what one archive lacks or has changed comes from
// another, and what none has makes restore begin with an older checkpoint, or with
// none, and say so.
func TestRestoreFromDamagedArchives(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.checkpointed(t)
	before := chunkFiles(t, s.dir)
	s.db.Exec(t, "UPDATE app.product SET price = price + 1")
	s.checkpointed(t)
	published(t, s.db)
	all := chunkFiles(t, s.dir)
	if len(all) <= len(before) {
		t.Fatalf("the second checkpoint has no chunk of its own: %d and %d", len(before), len(all))
	}
	want := contents(t, s.db)
	whole := t.TempDir()
	if err := os.CopyFS(whole, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	restore := func(t *testing.T, archives string) (out, log string) {
		t.Helper()
		db := pgtest.New(t)
		stdout, stderr, code := (&site{env: []string{"PGBRIDGE_DATABASE_URL=" + db.URL(), "PGBRIDGE_ARCHIVE=" + archives}}).try(t, "restore", "--db-id", s.id)
		if code != 0 {
			t.Fatalf("exit code %d\n%s", code, stderr)
		}
		pgtest.RequireEqual(t, contents(t, db), want)
		return stdout, stderr
	}

	fresh := all[len(all)-1]
	spoil(t, fresh)
	if out, log := restore(t, "dir://"+s.dir+",dir://"+whole); !strings.Contains(out, "began with checkpoint 2") || !strings.Contains(log, "not what it claims to be") {
		t.Errorf("one folder is damaged: got\n%s%s", out, log)
	}
	if out, _ := restore(t, "dir://"+whole); !strings.Contains(out, "began with checkpoint 2") {
		t.Errorf("the whole one: got\n%s", out)
	}
	unlink(t, fresh)
	if out, log := restore(t, "dir://"+s.dir); !strings.Contains(out, "began with checkpoint 1") || !strings.Contains(out, "equal to checkpoint 2") || !strings.Contains(log, "chunks are missing") {
		t.Errorf("a chunk is gone: got\n%s%s", out, log)
	}
	unlink(t, chunkFiles(t, s.dir)...)
	if out, log := restore(t, "dir://"+s.dir); strings.Contains(out, "began with") || !strings.Contains(out, "equal to checkpoint 2") || !strings.Contains(log, "replayed from the genesis") {
		t.Errorf("all chunks are gone: got\n%s%s", out, log)
	}
	// --from looks nowhere else.
	db := pgtest.New(t)
	out := s.copyIn(t, db).pgbridge(t, "restore", "--db-id", s.id, "--from", "dir://"+whole)
	if !strings.Contains(out, "began with checkpoint 2") {
		t.Errorf("--from: got\n%s", out)
	}
	// Damage that only reading shows, and nowhere is better.
	for _, path := range chunkFiles(t, whole) {
		spoil(t, path)
	}
	if _, stderr, code := newSite(t, pgtest.New(t), "dir://"+whole).try(t, "restore", "--db-id", s.id); code != 3 || !strings.Contains(stderr, "--checkpoint") {
		t.Errorf("all chunks are damaged: exit code %d\n%s", code, stderr)
	}
}

// silently changes the source so that no record says it: capture takes it for an
// echo.
func silently(t *testing.T, db *pgtest.DB, statement string) {
	t.Helper()
	conn := db.Connect(t)
	for _, query := range []string{ // each in a transaction of its own
		"INSERT INTO pgbridge.origin (name) VALUES ($1) ON CONFLICT DO NOTHING",
		"SELECT pg_replication_origin_create($1) WHERE NOT EXISTS (SELECT FROM pg_replication_origin WHERE roname = $1)",
		"SELECT pg_replication_origin_session_setup($1)",
	} {
		if _, err := conn.Exec(t.Context(), query, "pgbridge_"+db.Name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestRestoreFindsWrongCheckpoint: a checkpoint that its owner signed, and the
// chain confirms, holds what the chain does not. The next one shows it.
func TestRestoreFindsWrongCheckpoint(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	silently(t, s.db, "UPDATE app.product SET price = 1000 WHERE id = 3")
	s.checkpointed(t)
	silently(t, s.db, "UPDATE app.product SET price = 3 WHERE id = 3")
	sell(t, s.db, 3)
	s.checkpointed(t)
	published(t, s.db)
	want := contents(t, s.db)
	for _, c := range []struct {
		name, from, until string
		code              int
		says              string
	}{
		{"the wrong one", "1", "", 3, "restore failed: these tables are not what checkpoint 2 says they were: app.product"},
		{"compared with the wrong one", "none", "checkpoint:1", 3, "not what checkpoint 1 says they were: app.product"},
		{"the right one", "2", "", 0, ""},
		{"none", "none", "", 0, ""},
	} {
		db := pgtest.New(t)
		args := []string{"restore", "--db-id", s.id, "--checkpoint", c.from}
		if c.until != "" {
			args = append(args, "--until", c.until)
		}
		stdout, stderr, code := s.copyIn(t, db).try(t, args...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit code %d\n%s%s", c.name, code, stdout, stderr)
		}
		if code == 0 {
			pgtest.RequireEqual(t, contents(t, db), want)
		}
	}
}
