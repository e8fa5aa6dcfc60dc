package applier

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/pgbridge/pgbridge/postgres"
)

// What an author can do at the source it can do here, and its code nothing else.
func TestStatementsRunAsTheirAuthor(t *testing.T) {
	tests := []struct{ name, before, statement string }{
		{"check of what is there", "CREATE TABLE t (id int); INSERT INTO t VALUES (1)", "ALTER TABLE t ADD CHECK (evil(id) > 0)"},
		{"rewrite", "CREATE TABLE t (id int); INSERT INTO t VALUES (1)", "ALTER TABLE t ALTER id TYPE text USING evil(id)::text"},
		{"default", "CREATE TABLE t (id int); INSERT INTO t VALUES (1)", "ALTER TABLE t ADD n int DEFAULT evil(3)"},
		{"generated column", "CREATE TABLE t (id int); INSERT INTO t VALUES (1)", "ALTER TABLE t ADD n int GENERATED ALWAYS AS (evil(id)) STORED"},
		{"index", "CREATE TABLE t (id int); INSERT INTO t VALUES (1)", "CREATE INDEX ON t (evil(id))"},
		{"domain", "CREATE DOMAIN d AS int; CREATE TABLE t (id d); INSERT INTO t VALUES (1)", "ALTER DOMAIN d ADD CHECK (evil(VALUE) > 0)"},
		{"partition bound", "CREATE TABLE t (id int) PARTITION BY LIST (id)", "CREATE TABLE t_1 PARTITION OF t FOR VALUES IN (evil(3))"},
		{"query", "CREATE TABLE t (id int)", "CREATE MATERIALIZED VIEW v AS SELECT evil(3)"},
		{"table with a query", "CREATE TABLE t (id int)", "CREATE TABLE u AS SELECT evil(3)"},
	}
	g := newGround(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newParish(t, g, test.before)
			want := p.schemaAsAlice(t, test.statement)
			if err := p.apply(t, p.record(does(p.by(p.alice, test.statement)))); err != nil {
				t.Fatal(err)
			}
			p.requireHarmless(t, true)
			if got := p.dump(t); got != want {
				t.Errorf("the schema is\n%s\nwant\n%s", got, want)
			}
			if got := p.rows(t, "SELECT relname, relowner::regrole FROM pg_class WHERE relnamespace = 'work'::regnamespace AND relowner::regrole::text <> '"+p.alice+"'"); got != "" {
				t.Errorf("not the author's: %s", got)
			}
		})
	}
}

// schemaAsAlice is what schema work is, with owners, after alice has executed a statement
// in a database that is the same.
func (p parish) schemaAsAlice(t *testing.T, statement string) string {
	t.Helper()
	source := *p.rig
	source.db = p.db.Cluster.Database(t)
	q := p
	q.rig = &source
	q.db.Exec(t, p.dump(t))
	conn := q.connectAs(t, p.alice)
	for _, s := range []string{"SET search_path = work", statement} {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	return q.dump(t)
}

func (p parish) dump(t *testing.T) string {
	t.Helper()
	text := p.db.Run(t, "pg_dump", "--schema-only", "--schema=work")
	random := regexp.MustCompile(`(?m)^\\(un)?restrict .*$`)
	return random.ReplaceAllString(text, "")
}

// Code of a user leaves nothing in the session that the session would use or execute.
func TestCodeLeavesNothingInTheSession(t *testing.T) {
	tests := []struct{ name, trap string }{
		{"settings", `PERFORM set_config('search_path', 'work, pg_catalog', false), set_config('DateStyle', 'SQL, DMY', false), set_config('client_encoding', 'LATIN1', false),
			set_config('statement_timeout', '1', false), set_config('standard_conforming_strings', 'off', false)`},
		{"all settings", "EXECUTE 'RESET ALL'"},
		{"cursor", "EXECUTE 'DECLARE trap CURSOR WITH HOLD FOR SELECT work.evil(1)'"},
		{"temporary objects", `EXECUTE 'CREATE TEMP VIEW pg_class AS SELECT c.* FROM pg_catalog.pg_class c WHERE work.evil(1) > 0';
			EXECUTE 'CREATE TEMP TABLE x (i int) ON COMMIT DELETE ROWS'; EXECUTE 'CREATE INDEX ON pg_temp.x ((i + work.evil(1)))'`},
		{"prepared statements", `FOR name IN SELECT p.name FROM pg_prepared_statements p LOOP
			EXECUTE format('DEALLOCATE %I', name); EXECUTE format('PREPARE %I AS SELECT work.evil(1)', name); END LOOP;
			EXECUTE 'PREPARE trap AS SELECT work.evil(1)'`},
		{"notifications", "EXECUTE 'LISTEN trap'"},
		{"locks", "PERFORM pg_advisory_lock(1), pg_advisory_unlock_all()"},
	}
	const view = `CREATE VIEW pg_class AS SELECT c.* FROM pg_catalog.pg_class c WHERE evil(1) > 0;`
	g := newGround(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newParish(t, g, view+`CREATE FUNCTION trap(int) RETURNS int LANGUAGE plpgsql AS $f$ DECLARE name text; BEGIN INSERT INTO work.loot VALUES ('sprung'); `+test.trap+`; RETURN $1; END $f$;
				CREATE TABLE t (id int PRIMARY KEY, d date, x int CHECK (trap(x) > 0));
				CREATE TABLE plain (id int PRIMARY KEY, d date, FOREIGN KEY (id) REFERENCES t);
				CREATE TRIGGER x BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION evil_trigger()`)
			idDX, idD := []string{"id", "d", "x"}, []string{"id", "d"}
			to := p.targetAs(t)
			records := []opened{p.record(
				does(insert("t", idDX, 1, "2026-02-01", 1), insert("plain", idD, 10, "2026-03-04")),
				does(p.by(p.alice, "CREATE TABLE more (id int PRIMARY KEY)"), insert("plain", idD, 11, "2026-05-06")),
			), p.record(does(insert("t", idDX, 2, "2026-07-08", 2), update("plain", []string{"id"}, []string{"d"}, 10, "2026-09-10")))}
			if err := to.apply(t.Context(), records); err != nil {
				t.Fatal(err)
			}
			if got := p.rows(t, "SELECT id, d FROM work.plain ORDER BY id"); got != "(10,2026-09-10) (11,2026-05-06)" {
				t.Errorf("got %s", got)
			}
			if got := p.rows(t, "SELECT DISTINCT what, who FROM work.loot WHERE what <> 'ran' OR who <> '"+p.alice+"'"); got != "(sprung,"+p.alice+")" {
				t.Errorf("code of a user: got %s", got)
			}
			var left int
			err := to.conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_cursors WHERE name = 'trap') + (SELECT count(*) FROM pg_prepared_statements WHERE from_sql)
				+ (SELECT count(*) FROM pg_listening_channels()) + (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema())`).Scan(&left)
			if err != nil || left != 0 {
				t.Errorf("%d things are left in the session, %v", left, err)
			}
		})
	}
}

// A deferred trigger whose code queues another behind the last check is refused, not run
// at the commit.
func TestDeferredTriggerCannotWaitForTheCommit(t *testing.T) {
	p := newParish(t, newGround(t), `CREATE TABLE t (id int PRIMARY KEY);
		CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			SET CONSTRAINTS ALL DEFERRED;
			IF NEW.id < 5 THEN INSERT INTO work.t VALUES (NEW.id + 1); ELSE PERFORM work.harm(); END IF; RETURN NULL; END $$;
		CREATE CONSTRAINT TRIGGER x AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION again(); ALTER TABLE t ENABLE ALWAYS TRIGGER x`)
	err := p.apply(t, p.record(does(insert("t", []string{"id"}, 1))))
	var stuck *Stuck
	if !errors.As(err, &stuck) || !strings.Contains(err.Error(), "pending trigger events") {
		t.Errorf("got %v, want stuck with pending triggers", err)
	}
	p.requireHarmless(t, false)
}

// A role that is missing, or not admitted, stops the chain with the command that mends it.
func TestRoleIsNotReady(t *testing.T) {
	p := newParish(t, newGround(t), oneTable)
	missing := p.alice + "_2"
	t.Cleanup(func() { p.db.Exec(t, "DROP OWNED BY "+missing+"; DROP ROLE "+missing) })
	record := p.record(does(p.by(missing, "CREATE VIEW v AS SELECT 1 AS x")))
	refused := func(want string) {
		t.Helper()
		err := p.apply(t, record)
		var stuck *Stuck
		if !errors.As(err, &stuck) || !errors.Is(err, ErrRole) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want stuck, with %q", err, want)
		}
	}
	refused("CREATE ROLE " + missing + "; SELECT pgbridge.admit_author('" + missing + "')")
	p.db.Exec(t, "CREATE ROLE "+missing)
	refused("SELECT pgbridge.admit_author('" + missing + "')")
	p.db.Exec(t, "ALTER ROLE "+missing+" SUPERUSER")
	refused("is a superuser")
	p.db.Exec(t, "ALTER ROLE "+missing+" NOSUPERUSER; GRANT "+p.service+" TO "+missing)
	refused("REVOKE " + p.service + " FROM " + missing)
	p.db.Exec(t, "REVOKE "+p.service+" FROM "+missing+"; SELECT pgbridge.admit_author('"+missing+"')")
	if err := p.apply(t, record); err == nil || !strings.Contains(err.Error(), "permission denied for schema work") {
		t.Errorf("without rights in the schema: got %v", err)
	}
	p.db.Exec(t, "GRANT USAGE, CREATE ON SCHEMA work TO "+missing)
	if err := p.apply(t, record); err != nil {
		t.Fatal(err)
	}
	p.db.Exec(t, "ALTER ROLE "+missing+" RENAME TO "+missing+"3; CREATE ROLE "+missing) // another role of that name
	t.Cleanup(func() { p.db.Exec(t, "DROP OWNED BY "+missing+"3; DROP ROLE "+missing+"3") })
	record = p.record(does(p.by(missing, "CREATE VIEW v2 AS SELECT 1 AS x")))
	refused("SELECT pgbridge.admit_author('" + missing + "')")
}

// The role of the session is nobody's author: it owns what superusers made at the source.
func TestAuthorWithTheNameOfTheService(t *testing.T) {
	p := newParish(t, newGround(t), oneTable)
	err := p.apply(t, p.record(does(p.by(p.service, "GRANT ALL ON work.loot TO PUBLIC"))))
	if !errors.Is(err, ErrRole) || !strings.Contains(err.Error(), "another --role") {
		t.Errorf("got %v, want a refusal", err)
	}
}

// Whatever a role does to its runner, nobody runs its code as another role.
func TestRunnerIsAltered(t *testing.T) {
	p := newParish(t, newGround(t), oneTable+`; CREATE FUNCTION equal(name, name) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN PERFORM work.harm(); RETURN true; END';
		CREATE OPERATOR = (leftarg = name, rightarg = name, function = equal)`)
	p.db.Exec(t, "GRANT USAGE ON SCHEMA pgbridge TO "+p.alice) // as the owner of an action has it
	runner := p.db.Value(t, "SELECT format('pgbridge.%I(text, text[], boolean)', 'run as ' || $1::regrole::oid)", p.alice)
	for _, alter := range []string{
		"ALTER FUNCTION RUNNER SECURITY INVOKER",
		"ALTER FUNCTION RUNNER SECURITY INVOKER; ALTER FUNCTION RUNNER SET search_path = work, pg_catalog",
		"ALTER FUNCTION RUNNER SECURITY INVOKER; ALTER FUNCTION RUNNER SET role = 'ALICE'",
		"ALTER FUNCTION RUNNER SET role = 'ALICE'", "ALTER FUNCTION RUNNER IMMUTABLE", "ALTER FUNCTION RUNNER STRICT",
		"REVOKE ALL ON FUNCTION RUNNER FROM postgres", "GRANT EXECUTE ON FUNCTION RUNNER TO BOB", "ALTER FUNCTION RUNNER SET SCHEMA work", "DROP FUNCTION RUNNER",
	} {
		alter = strings.ReplaceAll(alter, "RUNNER", runner)
		p.as(t, p.alice, alter)
		for _, conn := range []string{p.service, "postgres"} {
			user := p.connectAs(t, conn)
			got, err := ask(t, user, p.named("SELECT pgbridge.run_as('ALICE', $$SELECT concat(current_user, ' ', session_user)$$, '{}', true)"))
			if want := p.alice + " " + conn; err != nil || got != want {
				t.Errorf("%s, as %s: got %q, %v, want %q", alter, conn, got, err, want)
			}
		}
		p.requireHarmless(t, false)
	}
	for _, refused := range []string{
		"ALTER FUNCTION RUNNER RENAME TO other", "ALTER FUNCTION RUNNER OWNER TO BOB",
		"CREATE OR REPLACE FUNCTION pgbridge.x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
		strings.Replace("CREATE OR REPLACE FUNCTION RUNNER RETURNS text LANGUAGE plpgsql AS 'BEGIN PERFORM work.harm(); END'", "(text, text[], boolean)", "(statement text, args text[], asks boolean)", 1),
	} {
		sql := p.named("SET SESSION AUTHORIZATION ALICE; " + strings.ReplaceAll(refused, "RUNNER", runner))
		if err := p.db.ExecErr(sql); err == nil {
			t.Errorf("%s: not refused", refused)
		}
	}
}

// Who changes the owner of what, as a superuser of the source did.
func TestObjectOfASuperusersStatement(t *testing.T) {
	p := newParish(t, newGround(t), oneTable+"; CREATE FUNCTION f(int, text) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TABLE gone (id int)")
	with := func(text, object string) deed {
		return statementUnder(p.named(text), `{"search_path":"work, public","object":`+object+`}`)
	}
	err := p.apply(t, p.record(
		does(with("DROP TABLE IF EXISTS work.gone CASCADE", `["table",["work","gone"],[]]`)),
		does(with("DROP TABLE IF EXISTS work.never CASCADE", `["table",["work","never"],[]]`)),
		does(with("ALTER TABLE work.t OWNER TO BOB", `["table",["work","t"],[]]`)),
		does(with("ALTER FUNCTION work.f(int, text) OWNER TO CURRENT_USER", `["function",["work","f"],["integer","text"]]`)),
	))
	if err != nil {
		t.Fatal(err)
	}
	got := p.rows(t, "SELECT (SELECT relowner::regrole FROM pg_class WHERE oid = 'work.t'::regclass), (SELECT proowner::regrole FROM pg_proc WHERE proname = 'f'), to_regclass('work.gone') IS NULL")
	if want := "(" + p.bob + "," + p.service + ",t)"; got != want {
		t.Errorf("owners: got %s, want %s", got, want)
	}
	p.db.Exec(t, "CREATE TABLE work.top (id int)")
	for text, object := range map[string]string{
		"ALTER TABLE work.top OWNER TO BOB":        `["table",["work","top"],[]]`,
		"ALTER TABLE work.t OWNER TO postgres":     `["table",["work","t"],[]]`,
		"ALTER TABLE pgbridge.author OWNER TO BOB": `["table",["pgbridge","author"],[]]`,
	} {
		last, digest := p.last, p.digest
		if err := p.apply(t, p.record(does(with(text, object)))); !errors.Is(err, ErrRole) {
			t.Errorf("%s: got %v, want it refused", text, err)
		}
		p.last, p.digest = last, digest
	}
}

// Truncates, calls and a table of two owners.
func TestTruncateAndCallAsTheOwner(t *testing.T) {
	p := newParish(t, newGround(t), `CREATE TABLE t (id int PRIMARY KEY, a text);
		CREATE TABLE child (id int PRIMARY KEY, t int REFERENCES t DEFERRABLE INITIALLY DEFERRED);
		CREATE TRIGGER x BEFORE TRUNCATE ON t EXECUTE FUNCTION evil_trigger(); ALTER TABLE t ENABLE ALWAYS TRIGGER x;
		CREATE TRIGGER y AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION evil_trigger();
		CREATE FUNCTION put_t(id int, a text) RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM work.harm(); INSERT INTO work.t VALUES ($1, $2); RETURN 1; END';
		CREATE FUNCTION put_none() RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM work.harm(); RETURN 1; END'`)
	err := p.apply(t,
		p.record(does(define("put_t", "function", []string{"id", "a"}, []string{"integer", "text"})), does(define("put_none", "function", nil, nil)),
			does(insert("t", idA, 1, "one"), insert("child", []string{"id", "t"}, 1, 1))),
		p.record(does(truncate("t"), truncate("child"), insert("t", idA, 7, "seven"))),
		p.record(does(
			call("put_t", []string{"id", "a"}, []any{2, "zwo"}, insert("t", idA, 2, "zwo"), insert("loot", []string{"what", "who"}, "ran", p.alice), insert("loot", []string{"what", "who"}, "ran", p.alice)),
			call("put_none", nil, []any{}, insert("loot", []string{"what", "who"}, "ran", p.alice)))))
	if err != nil {
		t.Fatal(err)
	}
	p.requireHarmless(t, true)
	if got := p.rows(t, "SELECT * FROM work.t ORDER BY id"); got != "(2,zwo) (7,seven)" {
		t.Errorf("got %s", got)
	}
}

// Post-data of the initial copy is made by the owners of the tables.
func TestPostDataIsMadeByOwners(t *testing.T) {
	p := newParish(t, newGround(t), `CREATE TABLE t (id int NOT NULL, a text); INSERT INTO t VALUES (1, 'one'); CREATE TABLE u (id int, t int)`)
	p.as(t, p.bob, `CREATE TABLE b.t (id int)`)
	conn := p.connectAs(t, p.service)
	run := &runners{conn: conn}
	text := p.named(`SET SESSION AUTHORIZATION 'ALICE';
ALTER TABLE ONLY work.t
    ADD CONSTRAINT t_pkey PRIMARY KEY (id);
CREATE INDEX t_evil ON work.t USING btree (work.evil(id));
CREATE STATISTICS work.s (dependencies) ON id, a FROM work.t;
ALTER STATISTICS work.s SET STATISTICS 100;
COMMENT ON STATISTICS work.s IS 'x';
COMMENT ON INDEX work.t_evil IS 'x';
ALTER TABLE ONLY work.t REPLICA IDENTITY USING INDEX t_pkey;
SET SESSION AUTHORIZATION 'BOB';
CREATE TRIGGER "on work.u" BEFORE INSERT ON b.t FOR EACH ROW EXECUTE FUNCTION work.evil_trigger();
SET SESSION AUTHORIZATION 'ALICE';
CREATE CONSTRAINT TRIGGER x AFTER INSERT ON work.t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION work.evil_trigger();
SET SESSION AUTHORIZATION 'BOB';
ALTER TABLE b.t ENABLE ALWAYS TRIGGER "on work.u";
SET SESSION AUTHORIZATION 'ALICE';
CREATE RULE r AS
    ON UPDATE TO work.u DO INSTEAD NOTHING;
CREATE POLICY p ON work.u USING ((id > 0));
ALTER TABLE work.u ENABLE ROW LEVEL SECURITY;
ALTER TABLE ONLY work.u
    ADD CONSTRAINT u_t_fkey FOREIGN KEY (t) REFERENCES work.t(id);
`)
	err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		steps, err := postgres.Steps(text, postgres.Loading{})
		if err != nil {
			return err
		}
		return run.steps(t.Context(), tx, steps)
	})
	if err != nil {
		t.Fatal(err)
	}
	p.requireHarmless(t, true)
	if got := p.rows(t, "SELECT (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN ('work.t'::regclass, 'b.t'::regclass)), (SELECT count(*) FROM pg_constraint WHERE conname = 'u_t_fkey')"); got != "(2,1)" {
		t.Errorf("made: %s", got)
	}
}
