package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// copyTraps are tables of an owner with code in every place where a copy may run it. The
// code tries to become who runs the session, says in the server's log as whom it ran, and
// spoils the session. At the source it does nothing.
const copyTraps = `
	CREATE FUNCTION app.trap(kind text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
	BEGIN
		IF current_database() = 'SOURCE' THEN RETURN true; END IF;
		BEGIN EXECUTE 'RESET ROLE'; EXCEPTION WHEN OTHERS THEN NULL; END;
		BEGIN EXECUTE format('SET ROLE %I', session_user); EXCEPTION WHEN OTHERS THEN NULL; END;
		RAISE LOG 'trap: % as % in %;', kind, current_user, current_database();
		BEGIN EXECUTE 'COPY (SELECT 1) TO PROGRAM ''touch TRACES/super'''; EXCEPTION WHEN OTHERS THEN NULL; END;
		BEGIN
			PERFORM set_config('transaction_read_only', 'on', true), set_config('default_transaction_read_only', 'on', false),
				set_config('statement_timeout', '1', false), set_config('search_path', 'app', false),
				set_config('datestyle', 'SQL, DMY', false), set_config('session_replication_role', 'origin', false);
		EXCEPTION WHEN OTHERS THEN NULL; END;
		RETURN true;
	END $$;
	CREATE TABLE app.checked (id int PRIMARY KEY, at date, word text, CHECK (app.trap('check')));
	INSERT INTO app.checked SELECT n, '2020-02-03', E'tab\t line\n back\\slash {"quoted"} ' || n FROM generate_series(1, 3000) n;
	INSERT INTO app.checked VALUES (0, NULL, NULL), (-1, NULL, '');
	CREATE TABLE app.generated (id int PRIMARY KEY, g boolean GENERATED ALWAYS AS (app.trap('generated')) STORED);
	INSERT INTO app.generated VALUES (1);
	CREATE DOMAIN app.word AS text CHECK (app.trap('domain'));
	CREATE TYPE app.pair AS (a app.word, b int);
	CREATE TABLE app.worded (id int PRIMARY KEY, word app.word, pair app.pair DEFAULT '(default,1)');
	CREATE FUNCTION app.joined(app.word, text) RETURNS app.word LANGUAGE sql AS 'SELECT $2';
	CREATE AGGREGATE app.joined (text) (SFUNC = app.joined, STYPE = app.word, INITCOND = 'aggregate');
	CREATE VIEW app.view AS SELECT '(view,1)'::app.pair;
	CREATE FUNCTION app.defaults(p app.pair DEFAULT '(argument,1)') RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
	INSERT INTO app.worded VALUES (1, 'x', '(y,2)'), (2, NULL, NULL);
	CREATE TABLE app.parted (id int, n int) PARTITION BY RANGE ((id + CASE WHEN app.trap('partition key') THEN 0 END));
	CREATE TABLE app.parted_1 PARTITION OF app.parted FOR VALUES FROM (0) TO (10);
	ALTER TABLE app.parted REPLICA IDENTITY FULL; ALTER TABLE app.parted_1 REPLICA IDENTITY FULL;
	INSERT INTO app.parted VALUES (1, 1);
	CREATE TABLE app.indexed (id int PRIMARY KEY, c app.pair);
	INSERT INTO app.indexed VALUES (1, NULL);
	CREATE INDEX ON app.indexed ((id > 0 AND app.trap('index')));
	CREATE INDEX ON app.indexed (id) WHERE app.trap('predicate');
	CREATE TABLE app.later (id int PRIMARY KEY, c app.pair); INSERT INTO app.later VALUES (1, NULL);
	ALTER TABLE app.later ADD CHECK (app.trap('not valid')) NOT VALID;
	CREATE FUNCTION app.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
	CREATE TRIGGER literal BEFORE INSERT ON app.later FOR EACH ROW WHEN (NEW.c = '(literal,1)'::app.pair) EXECUTE FUNCTION app.nothing();
	CREATE POLICY literal ON app.later USING (c = '(policy,1)'::app.pair);`

// trapped is a source with traps, and a checkpoint of it.
type trapped struct {
	*folderSite
	cluster       *pgtest.Cluster
	alice, traces string
	data          string
}

func newTrapped(t *testing.T) *trapped {
	t.Helper()
	s := &trapped{cluster: pgtest.Start(t, pgtest.Config{NoSync: true})}
	source := s.cluster.Database(t)
	s.alice = newRole(t, source)
	traces, err := os.MkdirTemp("", "traps-") // others cannot reach t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(traces) })
	if err := os.Chmod(traces, 0o777); err != nil {
		t.Fatal(err)
	}
	s.traces = traces
	source.Exec(t, "CREATE SCHEMA app AUTHORIZATION "+s.alice+"; CREATE TABLE public.plain (id int PRIMARY KEY); INSERT INTO public.plain VALUES (1); ALTER TABLE public.plain OWNER TO "+s.alice+"; ALTER SCHEMA public OWNER TO "+s.alice)
	as(t, source, s.alice, strings.NewReplacer("SOURCE", source.Name, "TRACES", traces).Replace(copyTraps))
	s.folderSite = &folderSite{dir: t.TempDir()}
	s.site = newSite(t, source, "dir://"+s.dir).withKey(t)
	s.id = strings.TrimSpace(s.pgbridge(t, "init", "--name", "trapped"))
	s.run = s.start(t, "run")
	published(t, source)
	s.checkpointed(t)
	s.data = pgtest.Dump(t, source)
	return s
}

// requireHarmless requires that all of kinds ran in a database, and everything as its owner.
func (s *trapped) requireHarmless(t *testing.T, db *pgtest.DB, kinds ...string) {
	t.Helper()
	log := s.cluster.Log()
	ran := map[string]bool{}
	wrong := map[string]bool{}
	for _, m := range regexp.MustCompile(`trap: ([a-z ]+) as (\S+) in ([^;]+);`).FindAllStringSubmatch(log, -1) {
		if m[3] != db.Name {
			continue
		}
		ran[m[1]] = true
		if m[2] != s.alice && !strings.HasPrefix(m[2], "pgbridge_builder_") { // who has no rights
			wrong[m[1]+" as "+m[2]] = true
		}
	}
	for what := range wrong {
		t.Errorf("code of %s ran: %s", s.alice, what)
	}
	for _, kind := range kinds {
		if !ran[kind] {
			t.Errorf("%s did not run: the test proves nothing", kind)
		}
	}
	s.requireNoProgram(t)
}

// requireNoProgram requires that no code ran as a superuser.
func (s *trapped) requireNoProgram(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(s.traces, "super")); err == nil {
		t.Error("code of an owner ran a program as a superuser")
		os.Remove(filepath.Join(s.traces, "super"))
	}
}

// A restore runs code of an owner as this owner, in the rows, indexes and constraints of a
// checkpoint, and is not stopped by what it does to the session.
func TestRestoreRunsCodeAsItsOwner(t *testing.T) {
	t.Parallel()
	s := newTrapped(t)
	all := []string{"check", "generated", "domain", "partition key", "index", "predicate"}
	for _, c := range []struct {
		name  string
		args  []string
		kinds []string
	}{
		{"as the service role", nil, all},
		{"in one session", []string{"--jobs", "1"}, all},
		{"from the genesis", []string{"--checkpoint", "none"}, all},
		{"as a superuser", []string{"--allow-superuser"}, all},
		{"a part", []string{"--table", "app.checked", "--table", "app.worded"}, []string{"check", "domain"}},
		{"a part, from the genesis", []string{"--table", "app.checked", "--table", "app.worded", "--checkpoint", "none"}, []string{"check", "domain"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := s.cluster.Database(t)
			s.copyIn(t, db).as("postgres").restore(t, s.id, c.args...)
			s.requireHarmless(t, db, c.kinds...)
			if !slices.Contains(c.args, "--table") {
				pgtest.RequireEqual(t, pgtest.Dump(t, db), s.data)
				pgtest.RequireEqual(t, pgtest.DumpSchema(t, db), pgtest.DumpSchema(t, s.db))
				return
			}
			const rows = `SELECT (SELECT count(*) FROM app.checked), (SELECT count(*) FROM app.worded), (SELECT count(*) FROM public.plain)`
			if got := fmt.Sprint(db.Query(t, rows)); got != "[[3002 2 0]]" {
				t.Errorf("rows: got %s, want [[3002 2 0]]", got)
			}
			const left = `SELECT count(*) FROM pg_roles WHERE rolname ~ '^pgbridge_(part|builder)_'`
			if got := db.Value(t, left); got != "0" {
				t.Errorf("%s roles are left", got)
			}
		})
	}
}

// A drill, whose server nobody watches, runs no code of an owner as a superuser, and
// admits roles that came after what it begins with.
func TestDrillRunsNothingAsSuperuser(t *testing.T) {
	t.Parallel()
	s := newTrapped(t)
	bob := newRole(t, s.db)
	s.db.Exec(t, "CREATE SCHEMA late AUTHORIZATION "+bob)
	as(t, s.db, bob, "CREATE TABLE late.of_bob (id int PRIMARY KEY); INSERT INTO late.of_bob VALUES (1)")
	published(t, s.db)
	s.checkpointed(t)
	as(t, s.db, s.alice, "INSERT INTO app.checked VALUES (-2)")
	published(t, s.db)
	for _, args := range [][]string{{"drill", "--json"}, {"drill", "--json", "--replay"}} {
		got := readDrilled(t, s.pgbridge(t, args...))
		if !got.OK || got.Rows != 3011 {
			t.Errorf("%v: got %+v, want 3,011 rows", args, got)
		}
		s.requireNoProgram(t)
	}
}
