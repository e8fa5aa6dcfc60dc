//go:build hostile

package hostile

import (
	"fmt"
	"testing"
)

// Any role may set a custom setting to anything. None of schema pgbridge may mean
// anything.
var settings = []attack{
	{
		name: "a table is said to be rewritten while another session writes", as: []role{owner},
		play: func(t *testing.T, x *scene) {
			s := x.session(t)
			s.must(t, fmt.Sprintf(`SET pgbridge.rewritten = '%s:1'`, x.source.Value(t, `SELECT 'app.ledger'::regclass::oid`)))
			s.must(t, x.expand(`BEGIN; CREATE TABLE {me}.t (id int PRIMARY KEY)`))
			x.source.Exec(t, `INSERT INTO app.ledger (what) VALUES ('committed meanwhile')`)
			s.must(t, `COMMIT`)
		},
		never: `^app\.ledger\.(clear|truncate)|^pgbridge\.(clear|rows)`,
	},
	{
		name: "what happened is said to be of temporary objects", as: []role{owner},
		setup: `CREATE FUNCTION {me}.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TABLE {me}.t (id int PRIMARY KEY)`,
		play: func(t *testing.T, x *scene) {
			s := x.session(t)
			s.must(t, fmt.Sprintf(`SET pgbridge.session_objects = '%s'`, x.source.Value(t,
				x.expand(`SELECT concat_ws(' ', 'pg_proc'::regclass::oid || ':' || '{me}.f'::regproc::oid, 'pg_class'::regclass::oid || ':' || '{me}.t'::regclass::oid)`))))
			s.must(t, x.expand(`CREATE OR REPLACE FUNCTION {me}.f() RETURNS int LANGUAGE sql AS 'SELECT 2'`))
			s.must(t, x.expand(`ALTER TABLE {me}.t ADD COLUMN hidden text`))
			s.must(t, x.expand(`INSERT INTO {me}.t VALUES (1, 'x')`))
		},
	},
	{
		name: "what is of temporary objects is forgotten", as: []role{login, owner},
		sql: []string{
			`CREATE TYPE pg_temp.pair AS (a int, b int)`, `CREATE FUNCTION pg_temp.to_text(pg_temp.pair) RETURNS text LANGUAGE sql AS 'SELECT ''x'''`,
			`CREATE CAST (pg_temp.pair AS text) WITH FUNCTION pg_temp.to_text(pg_temp.pair)`, `SET pgbridge.session_objects = ''`,
			`DROP CAST (pg_temp.pair AS text)`,
		},
		never: `pg_temp|CAST`,
	},
	{
		name: "what is of temporary objects is forgotten, dropped with its type", as: []role{login, owner},
		sql: []string{
			`CREATE TYPE pg_temp.pair AS (a int, b int)`, `CREATE FUNCTION pg_temp.to_text(pg_temp.pair) RETURNS text LANGUAGE sql AS 'SELECT ''x'''`,
			`CREATE CAST (pg_temp.pair AS text) WITH FUNCTION pg_temp.to_text(pg_temp.pair)`, `SET pgbridge.session_objects = ''`,
			`COMMENT ON CAST (pg_temp.pair AS text) IS 'hello'`, `DROP TYPE pg_temp.pair CASCADE`,
		},
		never: `pg_temp|CAST`,
	},
	{
		name: "statements of a text are counted otherwise", as: []role{owner},
		setup: `CREATE TABLE {me}.a (id int PRIMARY KEY); CREATE TABLE {me}.b (id int PRIMARY KEY);
			CREATE FUNCTION {me}.lie() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
				PERFORM set_config('pgbridge.inner_counts', (SELECT jsonb_object_agg(k, 1)::text FROM jsonb_object_keys(current_setting('pgbridge.inner_counts')::jsonb) k), true);
			END $$;
			CREATE FUNCTION {me}.f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
				EXECUTE 'ALTER TABLE {me}.a ADD COLUMN one int; ALTER TABLE {me}.a ADD COLUMN two int; SELECT {me}.lie(); ALTER TABLE {me}.b ADD COLUMN three int';
			END $$`,
		sql: []string{`SELECT {me}.f()`},
	},
	{
		name: "the text of a script is said to be known", as: []role{owner},
		setup: `CREATE SEQUENCE {me}.s1; CREATE SEQUENCE {me}.s2; CREATE SEQUENCE {me}.s3; CREATE TABLE {me}.x (id int PRIMARY KEY)`,
		// A sequence keeps what a savepoint takes back.
		sql: []string{`BEGIN; SAVEPOINT s; CREATE TABLE {me}.a (id int PRIMARY KEY);
			SELECT setval('{me}.s1', (('x' || substr(o, 1, 14))::bit(56)::int8) + 1), setval('{me}.s2', (('x' || substr(o, 15, 14))::bit(56)::int8) + 1), setval('{me}.s3', (('x' || substr(o, 29, 4))::bit(16)::int8) + 1)
				FROM (SELECT nullif(current_setting('pgbridge.once', true), '')) AS c(o) WHERE o IS NOT NULL;
			ROLLBACK TO s;
			SELECT set_config('pgbridge.once', lpad(to_hex(currval('{me}.s1') - 1), 14, '0') || lpad(to_hex(currval('{me}.s2') - 1), 14, '0') || lpad(to_hex(currval('{me}.s3') - 1), 4, '0'), true);
			CREATE TABLE {me}.b (id int PRIMARY KEY); COMMIT`},
	},
	{
		name: "every custom setting", as: []role{owner, login},
		play: func(t *testing.T, x *scene) { x.setEach(t) },
	},
	{
		name: "settings of the server that a session may change", as: []role{owner},
		setup: `CREATE TABLE {me}.first (id int PRIMARY KEY, v text)`,
		sql: append([]string{
			`SET quote_all_identifiers = on; SET array_nulls = off; SET transform_null_equals = on; SET extra_float_digits = -15; SET bytea_output = 'escape'; SET xmlbinary = 'hex'`,
			`SET datestyle = 'German, DMY'; SET intervalstyle = 'sql_standard'; SET timezone = 'Asia/Kathmandu'; SET plpgsql.extra_errors = 'all'; SET check_function_bodies = off; SET row_security = off`,
			`SET constraint_exclusion = on; SET enable_seqscan = off; SET work_mem = '64kB'; SET default_transaction_isolation = 'serializable'; SET lc_monetary = 'C'; SET client_encoding = 'LATIN1'`,
			`INSERT INTO {me}.first VALUES (1, 'x')`, `ALTER TABLE {me}.first ADD COLUMN at timestamptz DEFAULT now(), ADD COLUMN f float8 DEFAULT pi(), ADD COLUMN i interval DEFAULT '1-2'`,
		}, changes...),
	},
}

// setEach sets every custom setting that the functions of the bridge name to
// nonsense and to what it may look like, and changes the schema under it.
func (x *scene) setEach(t *testing.T) {
	t.Helper()
	names := x.source.Query(t, `SELECT DISTINCT m[1] FROM pg_proc p CROSS JOIN LATERAL regexp_matches(prosrc, '(?:current_setting|set_config)\(''(pgbridge\.\w+)''', 'g') AS m
		WHERE pronamespace = 'pgbridge'::regnamespace ORDER BY 1`)
	victim := x.source.Value(t, `SELECT 'app.ledger'::regclass::oid`)
	for _, name := range append(names, []string{"pgbridge.anything"}) {
		for _, value := range []string{"", "x", "null", "{}", `["app"]`, victim + ":7", "1259:" + victim, "off"} {
			s := x.session(t)
			_ = s.quietly(t, fmt.Sprintf(`SET %s = '%s'`, name[0], value))
			for i, sql := range []string{
				`CREATE TEMP TABLE scratch (id int)`, `DROP TABLE scratch`,
				`CREATE TABLE {me}.t (id int PRIMARY KEY, v text)`, `ALTER TABLE {me}.t ADD COLUMN w text DEFAULT 'it\s'`,
				`DO $$ BEGIN EXECUTE 'ALTER TABLE {me}.t ADD COLUMN x int; ALTER TABLE {me}.t ADD COLUMN y int'; END $$`, `DROP TABLE {me}.t`,
			} {
				if err := s.quietly(t, x.expand(sql)); err != nil && (i < 2 || x.owns(t)) {
					t.Errorf("with %s = %q %s is refused: %v", name[0], value, brief(sql), err)
				}
			}
			s.close()
		}
	}
}

// owns tells whether the attacker has a schema.
func (x *scene) owns(t testing.TB) bool {
	return x.source.Value(t, `SELECT count(*) FROM pg_namespace WHERE nspname = $1`, x.me) == "1"
}
