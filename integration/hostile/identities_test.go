//go:build hostile

package hostile

import "testing"

// What an object is called says nothing about what it is.
var identities = []attack{
	{
		name: "names that look like schema pgbridge", as: []role{owner},
		sql: []string{
			`CREATE TABLE {me}.t (id int PRIMARY KEY); CREATE FUNCTION {me}.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
			`CREATE TRIGGER "x on pgbridge." BEFORE INSERT ON {me}.t FOR EACH ROW EXECUTE FUNCTION {me}.touch()`,
			`CREATE POLICY "p on pgbridge." ON {me}.t USING (true)`, `CREATE RULE "r on pgbridge." AS ON DELETE TO {me}.t WHERE false DO INSTEAD NOTHING`,
			`CREATE FUNCTION {me}."f on pgbridge."() RETURNS int LANGUAGE sql AS 'SELECT 1'`, `CREATE VIEW {me}."v on pgbridge." AS SELECT 1 AS one`,
			`CREATE TYPE {me}."y on pgbridge." AS ENUM ('a')`,
		},
	},
	{
		name: "table named as on pgbridge", as: []role{owner},
		sql: []string{`CREATE TABLE {me}."t on pgbridge.x" (id int PRIMARY KEY)`, `INSERT INTO {me}."t on pgbridge.x" VALUES (1)`},
	},
	{
		name: "names that look like temporary objects", as: []role{owner},
		sql: []string{
			`CREATE TABLE {me}.t (id int PRIMARY KEY); CREATE FUNCTION {me}.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
			`CREATE TRIGGER "x on pg_temp." BEFORE INSERT ON {me}.t FOR EACH ROW EXECUTE FUNCTION {me}.touch()`,
			`CREATE TABLE {me}."t on pg_temp.x" (id int PRIMARY KEY)`, `INSERT INTO {me}."t on pg_temp.x" VALUES (1)`,
		},
	},
	{
		name: "a trigger named as on pgbridge is dropped", as: []role{owner},
		sql: []string{
			`CREATE TABLE {me}.t (id int PRIMARY KEY); CREATE FUNCTION {me}.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
			`CREATE TRIGGER plain BEFORE INSERT ON {me}.t FOR EACH ROW EXECUTE FUNCTION {me}.touch()`,
			`ALTER TRIGGER plain ON {me}.t RENAME TO "x on pgbridge."`, `DROP TRIGGER "x on pgbridge." ON {me}.t`,
		},
	},
	{
		name: "table of a temporary type", as: []role{owner},
		sql: []string{`CREATE TYPE pg_temp.mood AS ENUM ('glad')`, `CREATE TABLE {me}.t (id int PRIMARY KEY, m pg_temp.mood)`, `INSERT INTO {me}.t VALUES (1, 'glad')`},
	},
	{
		name: "default, check and trigger of temporary functions", as: []role{owner},
		sql: []string{
			`CREATE FUNCTION pg_temp.one() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE FUNCTION pg_temp.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
			`CREATE TABLE {me}.t (id int PRIMARY KEY)`, `CREATE TABLE {me}.d (id int PRIMARY KEY DEFAULT pg_temp.one())`, `CREATE TABLE {me}.c (id int PRIMARY KEY CHECK (id > pg_temp.one()))`,
			`CREATE TRIGGER touch BEFORE INSERT ON {me}.t FOR EACH ROW EXECUTE FUNCTION pg_temp.touch()`, `INSERT INTO {me}.t VALUES (1)`,
		},
	},
	{
		name: "table like a temporary table", as: []role{owner},
		sql: []string{`CREATE TEMP TABLE x (id int PRIMARY KEY, v text)`, `CREATE TABLE {me}.t (LIKE x INCLUDING ALL)`, `INSERT INTO {me}.t VALUES (1, 'a')`},
	},
	{
		name: "function of a temporary type", as: []role{owner},
		sql: []string{`CREATE TYPE pg_temp.mood AS ENUM ('glad')`, `CREATE FUNCTION {me}.f(pg_temp.mood) RETURNS int LANGUAGE sql AS 'SELECT 1'`},
	},
	{
		name: "temporary table dropped together with one that stays", as: []role{owner},
		sql: []string{`CREATE TABLE {me}.t (id int PRIMARY KEY)`, `CREATE TEMP TABLE x (); DROP TABLE {me}.t, x`},
	},
}

// administratorMigrates changes the schema through a function in SQL, of whose name
// there is another one. That may be refused, for it cannot be told which one runs; the same
// in PL/pgSQL cannot.
func administratorMigrates(t *testing.T, x *scene) {
	if err := x.source.ExecErr(`SELECT app.migrate()`); err == nil {
		return
	} else if !contains(err.Error(), "cannot tell which function named migrate") {
		t.Errorf("what another role has made stops the administrator: %v", err)
	}
	x.source.Exec(t, `CREATE OR REPLACE FUNCTION app.migrate() RETURNS void LANGUAGE plpgsql AS 'BEGIN CREATE TABLE app.migrated (id int PRIMARY KEY); END'`)
	x.source.Exec(t, `SELECT app.migrate()`)
}
