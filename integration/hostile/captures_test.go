//go:build hostile

package hostile

import (
	"fmt"
	"testing"
)

// Functions of schema pgbridge run with rights of their own in the attacker's
// session: by event triggers, and by calls of actions. What they name without a
// schema must never be the attacker's.
var captures = []attack{
	{
		name: "temporary view in place of a catalogue", as: []role{login, owner},
		sql: []string{
			`SET hostile.armed = off`, `{temp traps}`, `CREATE TEMP VIEW pg_depend AS SELECT * FROM pg_catalog.pg_depend WHERE pg_temp.evil()`,
			`RESET hostile.armed`, `CREATE TEMP TABLE scratch ()`, `DROP TABLE scratch`,
		},
	},
	{
		name: "each catalogue hidden by a temporary view", as: []role{owner},
		play: func(t *testing.T, x *scene) { x.hideEach(t, catalogues, hideRelation, changes) },
	},
	{
		name: "each type hidden by a temporary domain", as: []role{owner},
		play: func(t *testing.T, x *scene) { x.hideEach(t, types, hideType, changes) },
	},
	{
		name: "each catalogue hidden by a temporary view in a call", as: []role{acting},
		play: func(t *testing.T, x *scene) { x.hideEach(t, catalogues, hideRelation, calls) },
	},
	{
		name: "each type hidden by a temporary domain in a call", as: []role{acting},
		play: func(t *testing.T, x *scene) { x.hideEach(t, types, hideType, calls) },
	},
	{
		name: "schema of the attacker first in the search path", as: []role{owner, acting},
		setup: `{traps}` + shadows,
		sql:   slicesOf([]string{`SET search_path = {me}, pg_catalog, pg_temp`}, changes, calls),
	},
	{
		name: "schema of the attacker first in the search path of an action", as: []role{acting},
		setup: `{traps}` + shadows + `; ALTER FUNCTION {me}.act(int) SET search_path = {me}, pg_catalog`,
		sql:   calls,
	},
}

// catalogues and types are what the functions of schema pgbridge name.
var (
	catalogues = []string{
		"pg_depend", "pg_type", "pg_proc", "pg_namespace", "pg_class", "pg_attribute", "pg_roles", "pg_language", "pg_index", "pg_publication",
		"pg_publication_rel", "pg_publication_namespace", "pg_inherits", "pg_attrdef", "pg_range", "pg_cast", "pg_constraint", "pg_event_trigger", "pg_collation", "pg_am",
	}
	types = []string{"text", "oid", "int4", "int8", "bool", "json", "jsonb", "name", "uuid", "xid", "pg_lsn", "regclass", "regtype", "regproc", "regprocedure", "regnamespace", "regrole", "timestamptz"}
)

func hideRelation(name string) string {
	return fmt.Sprintf(`CREATE TEMP VIEW %[1]s AS SELECT xmin, tableoid, * FROM pg_catalog.%[1]s WHERE pg_temp.evil();
		GRANT ALL ON pg_temp.%[1]s TO PUBLIC`, name)
}

func hideType(name string) string {
	return fmt.Sprintf(`CREATE DOMAIN pg_temp.%[1]s AS pg_catalog.%[1]s CHECK (pg_temp.evil())`, name)
}

// changes are statements that lead through all functions of the event triggers.
var changes = []string{
	`CREATE TABLE {me}.one (id pg_catalog.int4 PRIMARY KEY, v pg_catalog.varchar)`, `INSERT INTO {me}.one VALUES (1, 'a'), (2, 'b')`,
	`ALTER TABLE {me}.one ADD COLUMN r pg_catalog.float8 DEFAULT pg_catalog.random()`,
	`ALTER TABLE {me}.one ALTER COLUMN v TYPE pg_catalog.int4 USING pg_catalog.length(v)`,
	`CREATE TABLE {me}.two AS SELECT * FROM {me}.one`, `ALTER TABLE {me}.two ADD PRIMARY KEY (id)`,
	`CREATE TABLE {me}.parted (id pg_catalog.int4 PRIMARY KEY, v pg_catalog.varchar) PARTITION BY RANGE (id)`,
	`CREATE TABLE {me}.part (id pg_catalog.int4 PRIMARY KEY, v pg_catalog.varchar)`, `ALTER TABLE {me}.parted ATTACH PARTITION {me}.part FOR VALUES FROM (0) TO (9)`,
	`DO $do$ BEGIN EXECUTE 'CREATE TABLE {me}.three (); CREATE TABLE {me}.four ()'; END $do$`,
	`CREATE FUNCTION {me}.body() RETURNS pg_catalog.void LANGUAGE sql AS 'CREATE TABLE {me}.five (); SELECT'`, `SELECT {me}.body()`,
	`ALTER TABLE {me}.parted DETACH PARTITION {me}.part`,
	`CREATE TEMP TABLE gone (); DROP TABLE gone, {me}.five`, `DROP TABLE {me}.one, {me}.two, {me}.parted, {me}.part, {me}.three, {me}.four`,
}

// calls lead through all functions that the owner of an action may run.
var calls = []string{
	`SELECT pgbridge.call('{me}.act', '{"n": 1}')`, `SELECT pgbridge."{me}.act"(2)`, `SELECT pgbridge."call {me}.act"('{"n": 3}')`,
	`SELECT pgbridge.call('{me}.act', '{"m": 4}')`, `SELECT pgbridge.call('{me}.act', '[]')`, `SELECT pgbridge.partial_call('{me}.act(integer)', '{"n": 5}')`,
	`SELECT pgbridge.printed(pg_catalog.now()), pgbridge.printed_time(pg_catalog.now()), pgbridge.new_id()`,
	`BEGIN; SELECT pgbridge.end_mark(pgbridge."mark {me}.act"('["6"]')); ROLLBACK`, `SELECT pgbridge."mark {me}.act"('no JSON')`,
	`DELETE FROM {me}.acts`,
}

// shadows stand in for functions and operators of pg_catalog.
const shadows = `
	CREATE FUNCTION {me}.same(text, text) RETURNS bool LANGUAGE sql AS 'SELECT {me}.deed() AND $1 OPERATOR(pg_catalog.=) $2';
	CREATE FUNCTION {me}.same(oid, oid) RETURNS bool LANGUAGE sql AS 'SELECT {me}.deed() AND $1 OPERATOR(pg_catalog.=) $2';
	CREATE FUNCTION {me}.same(jsonb, jsonb) RETURNS bool LANGUAGE sql AS 'SELECT {me}.deed() AND $1 OPERATOR(pg_catalog.=) $2';
	CREATE OPERATOR {me}.= (LEFTARG = text, RIGHTARG = text, FUNCTION = {me}.same);
	CREATE OPERATOR {me}.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = {me}.same);
	CREATE OPERATOR {me}.= (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = {me}.same);
	CREATE FUNCTION {me}.joined(text, text) RETURNS text LANGUAGE sql AS 'SELECT CASE WHEN {me}.deed() THEN pg_catalog.concat($1, $2) END';
	CREATE OPERATOR {me}.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = {me}.joined);
	CREATE FUNCTION {me}.concat(text, text, text) RETURNS text LANGUAGE sql AS 'SELECT CASE WHEN {me}.deed() THEN pg_catalog.concat($1, $2, $3) END';
	CREATE FUNCTION {me}.format(text, text) RETURNS text LANGUAGE sql AS 'SELECT CASE WHEN {me}.deed() THEN pg_catalog.format($1, $2) END';
	CREATE FUNCTION {me}.current_setting(text, bool) RETURNS text LANGUAGE sql AS 'SELECT CASE WHEN {me}.deed() THEN pg_catalog.current_setting($1, $2) END';
	CREATE FUNCTION {me}.set_config(text, text, bool) RETURNS text LANGUAGE sql AS 'SELECT CASE WHEN {me}.deed() THEN pg_catalog.set_config($1, $2, $3) END';
	CREATE FUNCTION {me}.to_jsonb(text) RETURNS jsonb LANGUAGE sql AS 'SELECT CASE WHEN {me}.deed() THEN pg_catalog.to_jsonb($1) END';
	CREATE FUNCTION {me}.encode(bytea, text) RETURNS text LANGUAGE sql AS 'SELECT CASE WHEN {me}.deed() THEN pg_catalog.encode($1, $2) END';
	CREATE FUNCTION {me}.convert_to(text, name) RETURNS bytea LANGUAGE sql AS 'SELECT CASE WHEN {me}.deed() THEN pg_catalog.convert_to($1, $2) END';
	CREATE FUNCTION {me}.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT CASE WHEN {me}.deed() THEN pg_catalog.clock_timestamp() END'`

// hideEach hides one name after the other, each in a new session, where no function
// was compiled before, and runs statements with it.
func (x *scene) hideEach(t *testing.T, names []string, hide func(string) string, statements []string) {
	t.Helper()
	refused := 0
	for _, name := range names {
		s := x.session(t)
		s.must(t, `SET hostile.armed = off`)
		s.must(t, x.expand(`{temp traps}`))
		if s.quietly(t, hide(name)) != nil {
			s.close()
			continue // this version has no such catalogue
		}
		s.must(t, `RESET hostile.armed`)
		for _, sql := range statements {
			if s.quietly(t, x.expand(sql)) != nil {
				refused++
			}
		}
		s.close()
		x.source.Exec(t, x.expand(`DROP TABLE IF EXISTS {me}.one, {me}.two, {me}.parted, {me}.part, {me}.three, {me}.four, {me}.five; DROP FUNCTION IF EXISTS {me}.body`))
	}
	t.Logf("%d statements were refused", refused)
}

func slicesOf(all ...[]string) (sum []string) {
	for _, some := range all {
		sum = append(sum, some...)
	}
	return sum
}
