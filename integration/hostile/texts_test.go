//go:build hostile

package hostile

// Which statement of a text ran, and what a word in it means, is read by the server's rules,
// or the text is refused where it is written: nobody makes the log say what never ran.
var texts = []attack{
	{
		name: "text, comment to a carriage return", as: []role{login, owner},
		sql: []string{"--\rGRANT CREATE ON SCHEMA public TO {me}"},
	},
	{
		name: "text, statement behind a carriage return", as: []role{owner}, setup: scratch,
		sql: []string{"ALTER TABLE {me}.t ADD a int --\r, ADD b int"},
	},
	{
		name: "text, string that goes on, rights", as: []role{login, owner}, never: `victim`,
		sql: []string{"SELECT E'a'\n'\\'; GRANT ALL ON app.victim TO {me}; --'; GRANT CREATE ON SCHEMA public TO {me}"},
	},
	{
		name: "text, string that goes on, tables", as: []role{owner}, setup: scratch, never: `^pgbridge.schema DROP TABLE (app.victim|{me}.t)`,
		sql: []string{
			"SELECT E'a'\n'\\'; DROP TABLE app.victim CASCADE; --'; DROP TABLE {me}.scratch",
			"SELECT E'a' --'\r'\\'; DROP TABLE {me}.t CASCADE; --'; CREATE TABLE {me}.scratch ()",
			"DO $do$ BEGIN EXECUTE $q$SELECT E'a'\n'\\'; DROP TABLE {me}.t CASCADE; --'; DROP TABLE {me}.scratch$q$; END $do$",
			"CREATE FUNCTION {me}.body() RETURNS void LANGUAGE sql AS $q$ SELECT E'a'\n'\\'; DROP TABLE {me}.t CASCADE; --'; CREATE TABLE {me}.scratch (); SELECT $q$", `SELECT {me}.body()`,
		},
	},
	{
		name: "text, strings with backslashes", as: []role{owner}, setup: scratch, never: `^pgbridge.schema (DROP TABLE {me}.t|CREATE TABLE {me}.[xy])`,
		sql: []string{
			`SET standard_conforming_strings = off`, `SELECT '\'; DROP TABLE {me}.t CASCADE; --'; DROP TABLE {me}.scratch`,
			"SELECT '\\'; SET standard_conforming_strings = on; DROP TABLE {me}.t; --'\n; SET standard_conforming_strings = on; DROP TABLE {me}.scratch",
			`CREATE TABLE {me}.a (v text DEFAULT 'a\'; CREATE TABLE {me}.x (i int); --'); CREATE TABLE {me}.b (v text DEFAULT 'b\'; CREATE TABLE {me}.y (i int); --')`,
		},
	},
	{
		name: "text, words in a body", as: []role{owner},
		sql: []string{
			`CREATE FUNCTION {me}.f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1 AS end; SELECT 2; END`,
			`CREATE FUNCTION {me}.g() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1 AS "end"; SELECT 2 AS begin; SELECT 3 AS case_; END; CREATE TABLE {me}.y (i int); CREATE TABLE {me}.z (i int)`,
		},
	},
	{
		name: "text, words that are names", as: []role{owner},
		sql: []string{
			`CREATE TABLE {me}.as (id int PRIMARY KEY)`, `CREATE TABLE {me}.current_user (id int PRIMARY KEY)`, `CREATE VIEW {me}.v AS SELECT 1 AS current_user, 2 AS "user", 3 AS session_user`,
			`SET search_path = {me}`, `CREATE TABLE large (id int PRIMARY KEY)`, `GRANT SELECT ON large TO PUBLIC`, `CREATE TABLE role (id int PRIMARY KEY)`, `GRANT SELECT ON role TO PUBLIC`,
			`CREATE TABLE tablespace (id int PRIMARY KEY)`, `CREATE INDEX i ON tablespace (id)`, `CREATE TABLE p (id int PRIMARY KEY) PARTITION BY LIST (id)`,
			`CREATE TABLE finalize PARTITION OF p DEFAULT`, `ALTER TABLE p DETACH PARTITION {me}.finalize`,
		},
	},
	{
		name: "text, what the catalogue has no more", as: []role{owner}, setup: `CREATE TABLE {me}.t (id int PRIMARY KEY); INSERT INTO {me}.t VALUES (1), (2)`,
		sql: []string{
			`ALTER TABLE {me}.t ADD COLUMN a float8 DEFAULT random(), ALTER COLUMN a SET DEFAULT 0`, `ALTER TABLE {me}.t ADD COLUMN b timestamptz DEFAULT now(), ALTER COLUMN b SET DEFAULT '2000-01-01'`,
			`CREATE FUNCTION {me}.lie() RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT random()'`, `ALTER TABLE {me}.t ADD COLUMN c float8 DEFAULT {me}.lie()`,
			`SET timezone_abbreviations = 'India'`, `CREATE TABLE {me}.u (id int PRIMARY KEY, ts timestamptz DEFAULT '2020-01-01 00:00 IST')`,
		},
	},
}

const scratch = `CREATE TABLE {me}.scratch (id int); CREATE TABLE {me}.t (id int PRIMARY KEY)`
