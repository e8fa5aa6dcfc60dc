package ddl

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// fires are statements in an order in which they work. The server itself says
// which of them fire event triggers, and with what tag.
const fires = `
CREATE SCHEMA app; CREATE SCHEMA other CREATE TABLE inner_one (a int) CREATE VIEW v AS SELECT 1 AS into; SET search_path = app, public;
CREATE TYPE mood AS ENUM ('a', 'b'); ALTER TYPE mood ADD VALUE 'c'; ALTER TYPE mood RENAME VALUE 'a' TO 'x'; CREATE TYPE pair AS (a int, b int); ALTER TYPE pair ADD ATTRIBUTE c int;
ALTER TYPE pair RENAME ATTRIBUTE c TO d; CREATE TYPE shell; DROP TYPE shell; CREATE TYPE span AS RANGE (subtype = int4); CREATE DOMAIN pos AS int CHECK (VALUE > 0); ALTER DOMAIN pos RENAME CONSTRAINT pos_check TO c;
CREATE UNLOGGED TABLE IF NOT EXISTS u (a int); ALTER TABLE u SET LOGGED; CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "as" text, p pos);
CREATE TABLE a1 AS SELECT 1 AS x; CREATE TABLE a2 (x) AS VALUES (1); CREATE TEMP TABLE a3 ON COMMIT DROP AS TABLE t; SELECT 1 AS y INTO a4; WITH w AS (SELECT 1) SELECT * INTO TEMP a5 FROM w;
SELECT 1 AS into; (SELECT 1); WITH w AS (SELECT 2) INSERT INTO a1 SELECT * FROM w; WITH w AS (VALUES (1)) SELECT * FROM w; VALUES (1); TABLE a1; TRUNCATE a1; SET LOCAL x.y = 1;
CREATE INDEX i ON t (p); CREATE UNIQUE INDEX IF NOT EXISTS j ON t ("as"); ALTER INDEX i RENAME TO k; ALTER INDEX k SET (fillfactor = 50); DROP INDEX k;
CREATE VIEW v AS SELECT * FROM t; CREATE OR REPLACE VIEW v AS SELECT * FROM t; ALTER VIEW v RENAME TO w; CREATE RECURSIVE VIEW nums (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM nums WHERE n < 5; ALTER TABLE w RENAME TO v;
CREATE MATERIALIZED VIEW m AS SELECT 1 AS a WITH NO DATA; REFRESH MATERIALIZED VIEW m; ALTER MATERIALIZED VIEW m RENAME a TO b;
CREATE SEQUENCE s; ALTER SEQUENCE s RESTART 5; CREATE TEMP SEQUENCE ts; DROP SEQUENCE s;
CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT $1'; CREATE OR REPLACE FUNCTION g() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END; CREATE PROCEDURE pr() LANGUAGE sql AS '';
ALTER FUNCTION f(int) STABLE; ALTER ROUTINE g() COST 5; ALTER PROCEDURE pr() RENAME TO pq; DROP ROUTINE pq(); CREATE AGGREGATE agg (int) (sfunc = int4pl, stype = int); ALTER AGGREGATE agg (int) RENAME TO agg2; DROP AGGREGATE agg2 (int);
CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tf(); CREATE CONSTRAINT TRIGGER ct AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION tf(); ALTER TRIGGER tr ON t RENAME TO tr2; DROP TRIGGER tr2 ON t;
ALTER TABLE t DISABLE TRIGGER ct; CREATE RULE r AS ON DELETE TO t DO ALSO (SELECT 1; SELECT 2); ALTER RULE r ON t RENAME TO r2; DROP RULE r2 ON t; CREATE POLICY po ON t USING (true); ALTER POLICY po ON t USING (false); DROP POLICY po ON t;
CREATE OPERATOR ### (leftarg = int, rightarg = int, function = int4pl); ALTER OPERATOR ### (int, int) SET SCHEMA other; DROP OPERATOR other.### (int, int); CREATE OPERATOR FAMILY fam USING btree; ALTER OPERATOR FAMILY fam USING btree RENAME TO fam2; DROP OPERATOR FAMILY fam2 USING btree;
CREATE CAST (pair AS text) WITH INOUT; DROP CAST (pair AS text); CREATE COLLATION co FROM "C"; ALTER COLLATION co RENAME TO co2; DROP COLLATION co2; CREATE STATISTICS st ON id, p FROM t; ALTER STATISTICS st RENAME TO st2; DROP STATISTICS st2;
CREATE TEXT SEARCH CONFIGURATION tsc (COPY = simple); ALTER TEXT SEARCH CONFIGURATION tsc ALTER MAPPING FOR asciiword, word WITH simple; DROP TEXT SEARCH CONFIGURATION tsc; CREATE TEXT SEARCH DICTIONARY tsd (TEMPLATE = simple); DROP TEXT SEARCH DICTIONARY tsd;
CREATE FOREIGN DATA WRAPPER fdw; CREATE SERVER srv FOREIGN DATA WRAPPER fdw; CREATE FOREIGN TABLE ft (a int) SERVER srv; ALTER FOREIGN TABLE ft ADD b int; CREATE USER MAPPING FOR CURRENT_USER SERVER srv; DROP USER MAPPING FOR CURRENT_USER SERVER srv; ALTER SERVER srv VERSION '1'; DROP FOREIGN TABLE ft; DROP SERVER srv; DROP FOREIGN DATA WRAPPER fdw;
COMMENT ON TABLE t IS 'x'; COMMENT ON COLUMN t.id IS 'y'; COMMENT ON DATABASE fired IS 'z'; COMMENT ON ROLE postgres IS NULL; COMMENT ON EVENT TRIGGER spy IS 'x'; COMMENT ON CONSTRAINT t_pkey ON t IS 'c'; COMMENT ON ROUTINE g() IS 'x';
GRANT SELECT ON t TO PUBLIC; GRANT CREATE ON DATABASE fired TO PUBLIC; REVOKE GRANT OPTION FOR SELECT ON t FROM PUBLIC; GRANT ALL ON SCHEMA app TO PUBLIC; GRANT EXECUTE ON FUNCTION f(int) TO PUBLIC; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;
CREATE ROLE fired_joe; GRANT fired_joe TO CURRENT_USER; ALTER ROLE fired_joe NOLOGIN; CREATE SCHEMA AUTHORIZATION fired_joe; REASSIGN OWNED BY fired_joe TO CURRENT_USER; DROP OWNED BY fired_joe; DROP ROLE fired_joe;
CREATE TABLE app.as (a int); CREATE TABLE app . into (a int); CREATE TABLE role (a int); GRANT SELECT ON role TO PUBLIC; REVOKE SELECT ON app.as, role, app.into FROM PUBLIC; CREATE TABLE large (a int); GRANT SELECT ON large TO PUBLIC; SELECT 1. AS one INTO a6; DROP TABLE app.as, role;
CREATE PUBLICATION pub FOR TABLE t; ALTER PUBLICATION pub ADD TABLE a1; DROP PUBLICATION pub; CREATE LANGUAGE plx HANDLER plpgsql_call_handler; ALTER PROCEDURAL LANGUAGE plx RENAME TO ply; DROP LANGUAGE ply; CREATE ACCESS METHOD am TYPE TABLE HANDLER heap_tableam_handler; DROP ACCESS METHOD am;
CREATE TABLE parted (a int) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF parted FOR VALUES IN (1); CREATE TABLE p2 (LIKE parted); ALTER TABLE parted ATTACH PARTITION p2 FOR VALUES IN (2); ALTER TABLE parted DETACH PARTITION p2; CREATE TABLE kid () INHERITS (p2); CREATE TABLE typed OF pair;
ALTER TABLE t RENAME p TO q; ALTER TABLE t RENAME TO t2; ALTER TABLE IF EXISTS nothing ADD a int; DROP TABLE IF EXISTS nothing; ALTER TABLE t2 SET SCHEMA other; ALTER SCHEMA other RENAME TO another; DROP TABLE a1, a2; DO $$ BEGIN NULL; END $$; EXPLAIN ANALYZE CREATE TABLE no AS SELECT 1;
PREPARE q AS SELECT 1; EXECUTE q; CREATE TABLE ex AS EXECUTE q; DISCARD PLANS; ANALYZE p1; SELECT lo_create(77); ALTER LARGE OBJECT 77 OWNER TO CURRENT_USER; COMMENT ON LARGE OBJECT 77 IS 'x'; DROP SCHEMA another CASCADE; REINDEX TABLE parted; CREATE EVENT TRIGGER later ON sql_drop EXECUTE FUNCTION public.nothing(); ALTER EVENT TRIGGER later DISABLE; DROP EVENT TRIGGER later;
`

// What the server says of each statement, and what Tag says, is the same; so is
// each when all are one string.
func TestTag(t *testing.T) {
	db := pgtest.New(t)
	conn := db.Connect(t)
	exec := func(text string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	exec(`CREATE TABLE public.fired (n serial, tag text, text text); CREATE FUNCTION public.nothing() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
		CREATE FUNCTION public.spy() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.fired (tag, text) VALUES (tg_tag, current_query()); END';
		CREATE EVENT TRIGGER spy ON ddl_command_start EXECUTE FUNCTION public.spy()`)
	all, err := Split(strings.ReplaceAll(fires, "DATABASE fired", "DATABASE "+action.QuoteIdent(db.Name)))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, s := range all {
		exec("TRUNCATE public.fired")
		exec(s)
		var tag string
		if err := conn.QueryRow(t.Context(), "SELECT coalesce(max(tag), '') FROM public.fired").Scan(&tag); err != nil {
			t.Fatal(err)
		}
		got := Tag(s)
		if got == "REINDEX" && tag == "" {
			continue
		}
		if got != tag {
			t.Errorf("%s: got %q, the server says %q", s, got, tag)
		}
		if counts(tag) {
			want = append(want, s)
		}
	}
	text := strings.Join(all, ";\n")
	for i, s := range want {
		got, err := Fired(text, i+1, Tag(s))
		if err != nil || got != s {
			t.Errorf("number %d: got %q, %v, want %q", i+1, got, err, s)
		}
	}
}

func TestFired(t *testing.T) {
	const text = "CREATE TABLE a (); SELECT 1; REINDEX TABLE a; CREATE TABLE b (); DROP TABLE a; CREATE VIEW v AS SELECT 1"
	for _, tt := range []struct {
		name string
		n    int
		tag  string
		want string
	}{
		{"first", 1, "CREATE TABLE", "CREATE TABLE a ()"},
		{"second that counts", 2, "CREATE TABLE", "CREATE TABLE b ()"},
		{"by number", 3, "DROP TABLE", "DROP TABLE a"},
		{"one of its kind", 1, "DROP TABLE", "DROP TABLE a"},
		{"one of its kind, behind all", 9, "CREATE VIEW", "CREATE VIEW v AS SELECT 1"},
		{"two of its kind", 9, "CREATE TABLE", ""},
		{"none of its kind", 1, "CREATE INDEX", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Fired(text, tt.n, tt.tag)
			if got != tt.want || errors.Is(err, ErrStatement) != (tt.want == "") {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	if _, err := Fired("CREATE TABLE 'a", 1, "CREATE TABLE"); !errors.Is(err, ErrStatement) {
		t.Errorf("a text that cannot be split: got %v, want %v", err, ErrStatement)
	}
	if got, want := tokens("A (b, (c)) 'd' \"e\" $$f$$ E'\\'' g.h"), []string{"A", "(", "'", `"e"`, "'", "'", `"G"`, ".", `"H"`}; !slices.Equal(words(got), want) {
		t.Errorf("tokens: got %q, want %q", words(got), want)
	}
}

func words(all []token) (found []string) {
	for _, one := range all {
		found = append(found, one.text)
	}
	return found
}
