package integration

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// umlauts are names and values that LATIN1 writes in other bytes than UTF8.
const umlauts = `CREATE SCHEMA "Schöße";
	CREATE TYPE "Schöße"."Größe" AS ENUM ('klein', 'groß');
	CREATE TABLE "Schöße"."Straße" (id int PRIMARY KEY, "Größe" "Schöße"."Größe" DEFAULT 'groß', name text DEFAULT 'é', CHECK (name <> 'Ümlaut'));
	INSERT INTO "Schöße"."Straße" SELECT n, 'klein', 'Straße ' || n FROM generate_series(1, 300) n;
	CREATE FUNCTION "Schöße".neu(id int, "Näme" text) RETURNS void LANGUAGE sql SET search_path = "Schöße", pg_temp
		AS $$ INSERT INTO "Schöße"."Straße" (id, name) VALUES (id, "Näme") $$;
	REVOKE EXECUTE ON FUNCTION "Schöße".neu(int, text) FROM PUBLIC;`

// A database in another encoding than UTF8 publishes, is followed and restored in its
// own encoding and in UTF8. What cannot hold its characters is refused before anything
// is written.
func TestLatin1(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	source := cluster.DatabaseIn(t, "LATIN1")
	source.Exec(t, umlauts)
	url, _ := startNode(t, t.TempDir())
	writer := newSite(t, source, url).withKey(t)
	writer.pgbridge(t, "check")
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "Größe"))
	p := writer.as("pgbridge").start(t, "run")
	follow := func(encoding string) *pgtest.DB {
		t.Helper()
		db := cluster.DatabaseIn(t, encoding)
		s := newSite(t, db, url)
		eventually(t, "join in "+encoding, func() error { return s.tryJoin(t, id) })
		s.start(t, "run")
		return db
	}
	latin, utf := follow("LATIN1"), follow("UTF8")
	source.Exec(t, `SELECT pgbridge.register_action('"Schöße".neu(int, text)')`)
	source.Exec(t, `SELECT pgbridge.call('"Schöße".neu', '{"id": 1000, "Näme": "gerufen für £ 5"}');
		ALTER TABLE "Schöße"."Straße" ADD COLUMN "Länge" text DEFAULT 'weiß nicht';
		COMMENT ON TABLE "Schöße"."Straße" IS 'Gäßchen'; UPDATE "Schöße"."Straße" SET name = 'geändert' WHERE id = 7`)
	made := writer.as("pgbridge").checkpoint(t)
	source.Exec(t, `INSERT INTO "Schöße"."Straße" VALUES (2000, 'groß', 'þorn', 'ÿ')`)
	const rows = `SELECT string_agg(s::text, '|' ORDER BY id) || obj_description('"Schöße"."Straße"'::regclass) FROM "Schöße"."Straße" s`
	want := source.Value(t, rows)
	for _, db := range []*pgtest.DB{latin, utf} {
		db.Wait(t, want, rows)
	}
	eventually(t, "the checkpoint counts", func() error {
		for _, c := range writer.checkpoints(t, "--db-id", id) {
			if c.Number == made.Number && c.Confirmed {
				return nil
			}
		}
		return errors.New("not yet")
	})
	writer.as("pgbridge").pgbridge(t, "verify", "--database")
	if code := p.stop(t); code != 0 {
		t.Errorf("run: exit code %d: %s", code, p)
	}
	for _, encoding := range []string{"LATIN1", "UTF8"} {
		for _, from := range []string{"none", "1"} {
			db := cluster.DatabaseIn(t, encoding)
			newSite(t, db, url).pgbridge(t, "restore", "--db-id", id, "--checkpoint", from)
			if got := db.Value(t, rows); got != want {
				t.Errorf("restored into %s from checkpoint %s: got %s, want %s", encoding, from, got, want)
			}
		}
	}
	for _, encoding := range []string{"LATIN2", "SQL_ASCII"} {
		s := newSite(t, cluster.DatabaseIn(t, encoding), url)
		for _, args := range [][]string{{"init", "--join", id}, {"restore", "--db-id", id}, {"restore", "--db-id", id, "--dry-run"}} {
			stdout, stderr, code := s.try(t, args...)
			if code != 3 || !strings.Contains(stdout+stderr, "encoding is "+encoding) {
				t.Errorf("%s: %v: exit code %d: %s%s", encoding, args, code, stdout, stderr)
			}
		}
		if s.db.Value(t, "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgbridge'") != "0" {
			t.Errorf("%s: something was written", encoding)
		}
	}
}

// A database in which text may be anything is refused before init begins.
func TestNoEncodingIsRefused(t *testing.T) {
	t.Parallel()
	source := pgtest.Shared(t).DatabaseIn(t, "SQL_ASCII")
	source.Exec(t, "CREATE TABLE public.note (id int PRIMARY KEY)")
	writer := newSite(t, source, "dir://"+t.TempDir()).withKey(t)
	for _, args := range [][]string{{"check"}, {"init", "--name", "app"}} {
		stdout, stderr, code := writer.try(t, args...)
		if code != 3 || !strings.Contains(stdout+stderr, "nobody knows what its text means") {
			t.Errorf("%v: exit code %d: %s%s", args, code, stdout, stderr)
		}
	}
	if source.Value(t, "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgbridge'") != "0" {
		t.Error("something was written")
	}
}
