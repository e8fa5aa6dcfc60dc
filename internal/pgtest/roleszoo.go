package pgtest

import (
	"crypto/rand"
	"strings"
	"testing"
)

// RolesZoo is a database with every kind of owner and privilege that pg_dump
// writes, and some that cannot be made again by their owners as they are.
type RolesZoo struct {
	*DB
	Roles []string // that own something or have rights: no superuser
	names *strings.Replacer
}

// NewRolesZoo makes one in a database of its own, with roles of its own, which are
// dropped when the test ends. Some tables have rows.
func NewRolesZoo(t testing.TB, c *Cluster) *RolesZoo {
	t.Helper()
	z := &RolesZoo{}
	suffix := strings.ToLower(rand.Text()[:8])
	var pairs []string
	for _, word := range []string{"ALICE", "BOB", "CAROL", "STAFF", "INTERN"} {
		name := strings.ToLower(word) + "_" + suffix
		if word == "CAROL" {
			name = `Carol's "own" ` + suffix // needs quotes
		}
		z.Roles = append(z.Roles, name)
		pairs = append(pairs, word, `"`+strings.ReplaceAll(name, `"`, `""`)+`"`)
	}
	z.names = strings.NewReplacer(append(pairs, "DBA", "dba_"+suffix)...)
	t.Cleanup(func() { // after the database, and after copies of it
		if c.running {
			c.exec(t, "postgres", z.SQL("DROP ROLE IF EXISTS ALICE, BOB, CAROL, STAFF, INTERN, DBA"))
		}
	})
	z.DB = c.Database(t)
	z.Exec(t, z.SQL(rolesZoo))
	return z
}

// Role is the name of ALICE, BOB, CAROL, STAFF, INTERN or DBA.
func (z *RolesZoo) Role(word string) string {
	return strings.ReplaceAll(strings.Trim(z.SQL(word), `"`), `""`, `"`)
}

// SQL puts the names of the roles, quoted, for ALICE, BOB, CAROL, STAFF, INTERN and
// the superuser DBA.
func (z *RolesZoo) SQL(text string) string { return z.names.Replace(text) }

const rolesZoo = `
CREATE ROLE STAFF; CREATE ROLE ALICE CREATEDB; CREATE ROLE BOB LOGIN CONNECTION LIMIT 7; CREATE ROLE CAROL NOINHERIT; CREATE ROLE DBA SUPERUSER;
CREATE ROLE INTERN LOGIN PASSWORD 'hush hush' VALID UNTIL '2040-01-01 00:00:00+00';
GRANT STAFF TO BOB WITH ADMIN OPTION; GRANT CAROL TO INTERN;
REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO STAFF; GRANT CREATE ON SCHEMA public TO ALICE WITH GRANT OPTION;
REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC; GRANT USAGE ON LANGUAGE plpgsql TO ALICE;
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(float8) FROM PUBLIC; GRANT EXECUTE ON FUNCTION pg_catalog.pg_sleep(float8) TO STAFF;
CREATE EXTENSION hstore SCHEMA public; REVOKE EXECUTE ON FUNCTION public.hstore(text, text) FROM PUBLIC; GRANT EXECUTE ON FUNCTION public.hstore(text, text) TO BOB;
CREATE FOREIGN DATA WRAPPER w; GRANT USAGE ON FOREIGN DATA WRAPPER w TO ALICE;
CREATE SCHEMA app AUTHORIZATION ALICE; CREATE SCHEMA other; GRANT CREATE, USAGE ON SCHEMA other TO BOB, CAROL;
CREATE SCHEMA "Empty; schema" AUTHORIZATION CAROL;
SET SESSION AUTHORIZATION ALICE;
CREATE SERVER far FOREIGN DATA WRAPPER w; GRANT USAGE ON FOREIGN SERVER far TO CAROL;
CREATE TABLE app.post (id int PRIMARY KEY, author name DEFAULT current_user, title text, body text);
CREATE INDEX ON app.post (title) WHERE body <> '';
INSERT INTO app.post SELECT i, 'x', 'title ' || i, 'body' FROM generate_series(1, 100) i;
REVOKE INSERT, DELETE ON app.post FROM ALICE;
GRANT USAGE ON SCHEMA app TO BOB, CAROL, STAFF;
GRANT SELECT, UPDATE ON app.post TO BOB WITH GRANT OPTION; GRANT UPDATE (title), SELECT (id, title) ON app.post TO CAROL WITH GRANT OPTION; GRANT SELECT (id) ON app.post TO PUBLIC;
CREATE POLICY own ON app.post FOR SELECT TO CAROL USING (id < 10); CREATE POLICY "for staff" ON app.post AS RESTRICTIVE FOR SELECT TO STAFF USING (id < 100); CREATE POLICY mine ON app.post USING (true);
ALTER TABLE app.post ENABLE ROW LEVEL SECURITY; ALTER TABLE app.post FORCE ROW LEVEL SECURITY;
CREATE TABLE app.part (id int, PRIMARY KEY (id)) PARTITION BY RANGE (id); CREATE TABLE app.part_1 PARTITION OF app.part FOR VALUES FROM (0) TO (10); GRANT ALL ON app.part TO BOB;
CREATE TABLE app.counter (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n serial); GRANT USAGE ON SEQUENCE app.counter_n_seq TO BOB; GRANT INSERT ON app.counter TO BOB;
CREATE SEQUENCE app.steps; REVOKE USAGE ON SEQUENCE app.steps FROM ALICE; GRANT SELECT ON SEQUENCE app.steps TO PUBLIC;
CREATE VIEW app.titles AS SELECT title FROM app.post; GRANT SELECT ON app.titles TO PUBLIC;
CREATE FUNCTION app.secret() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT ''s''::text'; REVOKE ALL ON FUNCTION app.secret() FROM PUBLIC; GRANT EXECUTE ON FUNCTION app.secret() TO CAROL WITH GRANT OPTION;
CREATE FUNCTION app.open() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT ''o''::text';
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; REVOKE ALL ON FUNCTION app.touch() FROM PUBLIC;
CREATE PROCEDURE app.run(INOUT x int DEFAULT 1) LANGUAGE sql AS 'SELECT 1'; GRANT EXECUTE ON PROCEDURE app.run TO BOB;
CREATE AGGREGATE app.total(int) (sfunc = int4pl, stype = int); REVOKE ALL ON FUNCTION app.total(int) FROM PUBLIC;
CREATE TYPE app.mood AS ENUM ('good'); REVOKE ALL ON TYPE app.mood FROM PUBLIC; GRANT USAGE ON TYPE app.mood TO BOB;
CREATE DOMAIN app.small AS int CHECK (VALUE < 100); CREATE TYPE app.pair AS (a int, b int); REVOKE ALL ON TYPE app.pair FROM PUBLIC;
CREATE COLLATION app.plain FROM "C"; CREATE TEXT SEARCH CONFIGURATION app.search (COPY = simple); CREATE OPERATOR app.### (function = int4pl, leftarg = int, rightarg = int);
CREATE STATISTICS app.both ON author, title FROM app.post;
CREATE MATERIALIZED VIEW app.late AS SELECT id, title FROM app.post GROUP BY id WITH NO DATA; CREATE UNIQUE INDEX ON app.late (id);
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO CAROL; ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
SET SESSION AUTHORIZATION BOB;
GRANT SELECT ON app.post TO CAROL WITH GRANT OPTION;
CREATE TABLE other.note (id int PRIMARY KEY, post int, text text); INSERT INTO other.note VALUES (1, 1, 'n');
SET SESSION AUTHORIZATION CAROL;
GRANT SELECT ON app.post TO STAFF; GRANT UPDATE (title) ON app.post TO STAFF; GRANT EXECUTE ON FUNCTION app.secret() TO STAFF;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO STAFF WITH GRANT OPTION;
RESET SESSION AUTHORIZATION;
-- What the owners could not do again: they lack CREATE, REFERENCES, EXECUTE by now, or the table.
ALTER TABLE other.note ADD FOREIGN KEY (post) REFERENCES app.post; CREATE INDEX ON other.note (text);
CREATE TRIGGER touch BEFORE INSERT ON other.note FOR EACH ROW EXECUTE FUNCTION app.touch(); COMMENT ON TRIGGER touch ON other.note IS 'x';
REVOKE CREATE ON SCHEMA other FROM BOB; ALTER STATISTICS app.both OWNER TO CAROL;
ALTER MATERIALIZED VIEW app.late OWNER TO BOB; GRANT SELECT ON app.late TO CAROL;
CREATE FUNCTION app.later(i int DEFAULT 3) RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT title FROM app.post GROUP BY id; END; ALTER FUNCTION app.later OWNER TO CAROL; REVOKE ALL ON FUNCTION app.later FROM PUBLIC;
CREATE TABLE public.homeless (id int PRIMARY KEY); ALTER TABLE public.homeless OWNER TO BOB;
CREATE TABLE app.supers (id int PRIMARY KEY); GRANT SELECT ON app.supers TO BOB;
CREATE FUNCTION app.supers_only() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'; REVOKE ALL ON FUNCTION app.supers_only() FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA other GRANT SELECT ON TABLES TO BOB;
`
