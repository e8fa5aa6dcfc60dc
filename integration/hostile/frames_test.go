//go:build hostile

package hostile

import "testing"

// Which statement has changed the schema is told by the server: by the query
// string and by the frames around a function. Whoever writes functions chooses
// their names, their texts, and when they change.
var frames = []attack{
	{
		name: "function in SQL whose text changes while it runs", as: []role{owner},
		setup: `CREATE TABLE {me}.scratch (); CREATE FUNCTION {me}.f() RETURNS void LANGUAGE sql AS 'SELECT';
			CREATE FUNCTION {me}.swap() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
				EXECUTE 'CREATE OR REPLACE FUNCTION {me}.f() RETURNS void LANGUAGE sql AS ''SELECT; DROP TABLE app.victim CASCADE; SELECT''';
			END $$;
			SET check_function_bodies = off;
			CREATE OR REPLACE FUNCTION {me}.f() RETURNS void LANGUAGE sql AS 'SELECT {me}.swap(); DROP TABLE {me}.scratch; SELECT'`,
		sql:   []string{`SELECT {me}.f()`},
		never: `^pgbridge.schema DROP TABLE app\.victim`,
	},
	{
		name: "function in SQL that replaces itself", as: []role{owner},
		setup: `CREATE TABLE {me}.scratch (); SET check_function_bodies = off;
			CREATE FUNCTION {me}.f() RETURNS void LANGUAGE sql AS $f$
				CREATE OR REPLACE FUNCTION {me}.f() RETURNS void LANGUAGE sql AS $g$
					CREATE OR REPLACE FUNCTION {me}.g() RETURNS void LANGUAGE sql AS 'SELECT'; DROP TABLE app.victim CASCADE; SELECT
				$g$; DROP TABLE {me}.scratch; SELECT $f$`,
		sql:   []string{`SELECT {me}.f()`},
		never: `^pgbridge.schema DROP TABLE app\.victim`,
	},
	{
		name: "function in SQL that changes its name", as: []role{owner},
		setup: `CREATE TABLE {me}.scratch (); SET check_function_bodies = off;
			CREATE FUNCTION {me}.other() RETURNS void LANGUAGE sql AS 'SELECT; DROP TABLE app.victim CASCADE; SELECT';
			CREATE FUNCTION {me}.swap() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
				ALTER FUNCTION {me}.f() RENAME TO was_f; ALTER FUNCTION {me}.other() RENAME TO f; END $$;
			CREATE FUNCTION {me}.f() RETURNS void LANGUAGE sql AS 'SELECT {me}.swap(); DROP TABLE {me}.scratch; SELECT'`,
		sql:   []string{`SELECT {me}.f()`},
		never: `^pgbridge.schema DROP TABLE app\.victim`,
	},
	{
		name: "function in SQL whose name looks like a frame", as: []role{owner},
		setup: `CREATE TABLE {me}.scratch (); SET check_function_bodies = off;
			CREATE FUNCTION {me}.a() RETURNS void LANGUAGE sql AS 'DROP TABLE app.victim CASCADE; SELECT';
			CREATE FUNCTION {me}."a"" statement 1
x"() RETURNS void LANGUAGE sql AS 'DROP TABLE {me}.scratch; SELECT'`,
		sql: []string{`SELECT {me}."a"" statement 1
x"()`},
		never: `^pgbridge.schema DROP TABLE app\.victim`,
	},
	{
		name: "statement of a function in which a frame seems to end", as: []role{owner},
		setup: `CREATE TABLE {me}.t (id int PRIMARY KEY); INSERT INTO {me}.t VALUES (1), (2)`,
		sql: []string{`DO $do$ BEGIN EXECUTE $q$CREATE VIEW {me}.v AS SELECT 1 AS a FROM {me}.t "
PL/pgSQL function x" WHERE false$q$; END $do$`},
	},
	{
		name: "name in a statement that is a frame word for word", as: []role{owner},
		setup: `CREATE TABLE {me}.t (id int PRIMARY KEY); INSERT INTO {me}.t VALUES (1), (2)`,
		sql: []string{`DO $do$ BEGIN EXECUTE $q$CREATE VIEW {me}.v AS SELECT 1 AS a FROM {me}.t "
PL/pgSQL function x() line 1 at EXECUTE
SQL statement " WHERE false$q$; END $do$`},
	},
	{
		name: "function that a function calls", as: []role{owner},
		setup: `CREATE FUNCTION {me}.inner_one() RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'CREATE TABLE {me}.made (id int PRIMARY KEY)'; RETURN 1; END $$;
			CREATE FUNCTION {me}.outer_one() RETURNS void LANGUAGE plpgsql AS $$ DECLARE n int; BEGIN n := {me}.inner_one(); EXECUTE 'DROP TABLE {me}.made'; EXECUTE 'SELECT {me}.inner_one()'; END $$`,
		play: func(t *testing.T, x *scene) {
			x.session(t).must(t, x.expand(`SELECT {me}.outer_one()`)) // it is no attack, and is not refused
		},
	},
	{
		name: "statement of a function that looks like a frame of a function in SQL", as: []role{owner},
		setup: `CREATE FUNCTION {me}.g() RETURNS void LANGUAGE sql AS 'SELECT';
			CREATE FUNCTION {me}."f() line 1 at EXECUTE
SQL statement ""DROP TABLE app.victim"""() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE TABLE {me}.t (id int PRIMARY KEY); END $$`,
		sql: []string{`SELECT {me}."f() line 1 at EXECUTE
SQL statement ""DROP TABLE app.victim"""()`},
		never: `^pgbridge.schema DROP TABLE app\.victim`,
	},
	{
		name: "function of the same name as another's", as: []role{owner},
		setup: `SET check_function_bodies = off; CREATE FUNCTION {me}.migrate() RETURNS void LANGUAGE sql AS 'CREATE TABLE {me}.never (); SELECT'`,
		admin: `DROP FUNCTION IF EXISTS app.migrate(); DROP TABLE IF EXISTS app.migrated; CREATE FUNCTION app.migrate() RETURNS void LANGUAGE sql AS 'CREATE TABLE app.migrated (id int PRIMARY KEY); SELECT'`,
		play:  administratorMigrates,
		never: `^pgbridge.schema CREATE TABLE \w+\.never`,
	},
	{
		name: "count of statements is forgotten", as: []role{owner},
		setup: `CREATE FUNCTION {me}.forget() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DISC' || 'ARD SEQUENCES'; END $$;
			CREATE TABLE {me}.t (id int PRIMARY KEY)`,
		play: func(t *testing.T, x *scene) {
			for _, strings := range [][]string{
				{`ALTER TABLE {me}.t ADD COLUMN a int; SELECT {me}.forget(); ALTER TABLE {me}.t ADD COLUMN b int`},
				{`BEGIN; SAVEPOINT s; ALTER TABLE {me}.t ADD COLUMN c int; ROLLBACK TO s; SELECT {me}.forget(); ALTER TABLE {me}.t ADD COLUMN d int; COMMIT`},
				{`BEGIN; ALTER TABLE {me}.t ADD COLUMN e int; ROLLBACK; SELECT {me}.forget(); ALTER TABLE {me}.t ADD COLUMN f int`},
				{`BEGIN; ALTER TABLE {me}.t ADD COLUMN g int; COMMIT; SELECT {me}.forget(); ALTER TABLE {me}.t ADD COLUMN h int`},
				{`ALTER TABLE {me}.t ADD COLUMN i int`, `SELECT {me}.forget()`, `ALTER TABLE {me}.t ADD COLUMN j int; ALTER TABLE {me}.t ADD COLUMN k int`},
			} {
				s := x.session(t)
				for _, sql := range strings {
					_ = s.try(t, x.expand(sql))
				}
				s.close()
			}
			if got := x.source.Value(t, `SELECT count(*) FROM pg_attribute WHERE attrelid = $1::regclass AND attname = ANY ('{i,j,k}')`, x.me+".t"); got != "3" {
				t.Errorf("what was sent after the session had forgotten has made %s columns, want 3", got)
			}
		},
	},
	{
		name: "action in SQL that changes the schema", as: []role{acting},
		setup: `SET check_function_bodies = off; CREATE OR REPLACE FUNCTION {me}.act(n int) RETURNS void LANGUAGE sql SET search_path = {me}, pg_temp AS
			'INSERT INTO acts VALUES (n); CREATE TABLE {me}.made (id int PRIMARY KEY); SELECT'`,
		sql: []string{`SELECT pgbridge.call('{me}.act', '{"n": 7}')`},
	},
}
