//go:build hostile

package hostile

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
		sql: []string{`ALTER TABLE {me}.t ADD COLUMN a int; SELECT {me}.forget(); ALTER TABLE {me}.t ADD COLUMN b int`},
	},
	{
		name: "action in SQL that changes the schema", as: []role{acting},
		setup: `SET check_function_bodies = off; CREATE OR REPLACE FUNCTION {me}.act(n int) RETURNS void LANGUAGE sql SET search_path = {me}, pg_temp AS
			'INSERT INTO acts VALUES (n); CREATE TABLE {me}.made (id int PRIMARY KEY); SELECT'`,
		sql: []string{`SELECT pgbridge.call('{me}.act', '{"n": 7}')`},
	},
}
