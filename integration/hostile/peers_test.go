//go:build hostile

package hostile

// What an owner has put into a table runs wherever its rows are written. At a peer
// nobody but the owner may run it, and nothing of it may stay behind in the session.
var peers = []attack{
	{
		name: "peer, check", as: []role{owner}, setup: `{traps}; CREATE TABLE {me}.t (id int PRIMARY KEY CHECK ({me}.deed()), v text)`, sql: rows,
	},
	{
		name: "peer, index", as: []role{owner},
		setup: `{traps}; CREATE TABLE {me}.t (id int PRIMARY KEY, v text); CREATE INDEX ON {me}.t (id) WHERE {me}.evil(); CREATE INDEX ON {me}.t ((id + {me}.evil_number()))`, sql: rows,
	},
	{
		name: "peer, domain", as: []role{owner}, setup: `{traps}; CREATE DOMAIN {me}.d AS text CHECK ({me}.deed()); CREATE TABLE {me}.t (id int PRIMARY KEY, v {me}.d)`, sql: rows,
	},
	{
		name: "peer, domain within an array of a composite type", as: []role{owner},
		setup: `{traps}; CREATE DOMAIN {me}.d AS text CHECK ({me}.deed()); CREATE TYPE {me}.pair AS (a {me}.d, b int); CREATE TABLE {me}.t (id int PRIMARY KEY, v text, p {me}.pair[] DEFAULT '{"(x,1)"}')`, sql: rows,
	},
	{
		name: "peer, generated column", as: []role{owner},
		setup: `{traps}; CREATE TABLE {me}.t (id int PRIMARY KEY, v text, g int GENERATED ALWAYS AS (id + {me}.evil_number()) STORED)`, sql: rows,
	},
	{
		name: "peer, partition key", as: []role{owner},
		setup: `{traps}; CREATE TABLE {me}.t (id int NOT NULL, v text) PARTITION BY RANGE ((id + {me}.evil_number())); CREATE TABLE {me}.t1 PARTITION OF {me}.t DEFAULT;
			ALTER TABLE {me}.t REPLICA IDENTITY FULL; ALTER TABLE {me}.t1 REPLICA IDENTITY FULL`, sql: rows,
	},
	{
		name: "peer, statistics", as: []role{owner},
		setup: `{traps}; CREATE TABLE {me}.t (id int PRIMARY KEY, v text); CREATE STATISTICS {me}.s ON (id + {me}.evil_number()) FROM {me}.t`, sql: rows,
	},
	{
		name: "peer, difference of a range", as: []role{owner},
		// It runs where a page of the index is locked: no subtransaction may fail there.
		setup: `CREATE FUNCTION {me}.diff(int4, int4) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
				IF current_user <> '{me}' THEN RAISE LOG 'caught {me}: current_user %, session_user %', current_user, session_user; END IF; RETURN $1 - $2; END $$;
			CREATE TYPE {me}.r AS RANGE (SUBTYPE = int4, SUBTYPE_DIFF = {me}.diff, MULTIRANGE_TYPE_NAME = {me}.mr);
			CREATE TABLE {me}.t (id int PRIMARY KEY, v text, r {me}.r DEFAULT '[1,2)'); CREATE INDEX ON {me}.t USING gist (r)`,
		sql: append([]string{`INSERT INTO {me}.t SELECT n, 'x', {me}.r(n, n + n % 7) FROM generate_series(100, 900) n`}, rows...),
	},
	{
		name: "peer, trigger that always fires", as: []role{owner}, differs: true,
		setup: `{traps}; CREATE TABLE {me}.t (id int PRIMARY KEY, v text); CREATE FUNCTION {me}.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM {me}.deed(); RETURN NEW; END';
			CREATE TRIGGER always BEFORE INSERT OR UPDATE ON {me}.t FOR EACH ROW EXECUTE FUNCTION {me}.touch(); ALTER TABLE {me}.t ENABLE ALWAYS TRIGGER always`, sql: rows,
	},
	{
		name: "peer, rule that always fires", as: []role{owner}, differs: true,
		setup: `{traps}; CREATE TABLE {me}.t (id int PRIMARY KEY, v text); CREATE RULE always AS ON UPDATE TO {me}.t DO ALSO SELECT {me}.deed(); CREATE RULE on_delete AS ON DELETE TO {me}.t DO ALSO SELECT {me}.deed();
			ALTER TABLE {me}.t ENABLE ALWAYS RULE always; ALTER TABLE {me}.t ENABLE ALWAYS RULE on_delete`, sql: rows,
	},
	{
		name: "peer, schema changes", as: []role{owner}, setup: `{traps}; CREATE TABLE {me}.t (id int PRIMARY KEY, v text); INSERT INTO {me}.t VALUES (1, 'x')`,
		sql: []string{
			`ALTER TABLE {me}.t ADD COLUMN a bool DEFAULT {me}.deed()`, `ALTER TABLE {me}.t ALTER COLUMN v TYPE text USING {me}.deed()::text`, `ALTER TABLE {me}.t ADD CHECK ({me}.deed())`,
			`CREATE INDEX ON {me}.t (({me}.evil()))`, `CREATE TABLE {me}.u AS SELECT {me}.deed()`, `CREATE MATERIALIZED VIEW {me}.m AS SELECT {me}.deed()`, `REFRESH MATERIALIZED VIEW {me}.m`,
			`CREATE DOMAIN {me}.d AS text; ALTER TABLE {me}.t ADD COLUMN d {me}.d DEFAULT 'x'; ALTER DOMAIN {me}.d ADD CHECK ({me}.deed())`,
			`ALTER TABLE {me}.t ADD CONSTRAINT late CHECK ({me}.deed() OR id > 0) NOT VALID; ALTER TABLE {me}.t VALIDATE CONSTRAINT late`,
			`CREATE TABLE {me}.p (id int) PARTITION BY RANGE (id); CREATE TABLE {me}.p1 (id int CHECK ({me}.deed())); INSERT INTO {me}.p1 VALUES (1); ALTER TABLE {me}.p ATTACH PARTITION {me}.p1 FOR VALUES FROM (0) TO (9)`,
			`CREATE TABLE {me}.bound (id bool) PARTITION BY LIST (id); CREATE TABLE {me}.bound1 PARTITION OF {me}.bound FOR VALUES IN ({me}.deed())`,
		},
	},
	{
		name: "peer, action", as: []role{acting}, admin: replayed,
		setup: `{traps}; CREATE OR REPLACE FUNCTION {me}.act(n int) RETURNS void LANGUAGE plpgsql SET search_path = {me}, pg_temp AS 'BEGIN PERFORM {me}.deed(); INSERT INTO acts VALUES (n); END'`, sql: acts,
	},
	{
		name: "peer, deferred trigger of an action", as: []role{acting}, admin: replayed,
		setup: `{traps}; CREATE FUNCTION {me}.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM {me}.deed(); RETURN NULL; END';
			CREATE CONSTRAINT TRIGGER late AFTER INSERT ON {me}.acts DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {me}.touch()`, sql: acts,
	},
	{
		name: "peer, cursor that an action leaves behind", as: []role{acting}, admin: replayed,
		setup: `{traps}; CREATE OR REPLACE FUNCTION {me}.act(n int) RETURNS void LANGUAGE plpgsql SET search_path = {me}, pg_temp AS $$
			BEGIN EXECUTE format('DECLARE %I CURSOR WITH HOLD FOR SELECT {me}.deed()', 'c' || n); INSERT INTO acts VALUES (n); END $$`, sql: acts,
	},
	{
		name: "peer, prepared statements that a check replaces", as: []role{owner},
		setup: `{traps}; CREATE FUNCTION {me}.replace() RETURNS bool LANGUAGE plpgsql AS $$ DECLARE p record; BEGIN
				IF session_user <> '{me}' THEN
					FOR p IN SELECT name, parameter_types FROM pg_prepared_statements LOOP
						EXECUTE format('DEALLOCATE %I', p.name);
						EXECUTE format('PREPARE %I %s AS SELECT {me}.deed()', p.name, nullif(regexp_replace(p.parameter_types::text, '^\{(.*)\}$', '(\1)'), '()'));
					END LOOP;
				END IF;
				RETURN true;
			END $$; CREATE TABLE {me}.t (id int PRIMARY KEY CHECK ({me}.replace()), v text)`, sql: rows,
	},
	{
		name: "peer, settings that a check leaves behind", as: []role{owner},
		setup: `{traps}` + shadows + `; CREATE FUNCTION {me}.leave() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
				IF session_user <> '{me}' THEN
					PERFORM set_config('search_path', '{me}, pg_catalog', false), set_config('client_encoding', 'LATIN1', false), set_config('datestyle', 'German, DMY', false),
						set_config('intervalstyle', 'sql_standard', false), set_config('timezone', 'Asia/Kathmandu', false), set_config('extra_float_digits', '-15', false),
						set_config('standard_conforming_strings', 'off', false), set_config('bytea_output', 'escape', false), set_config('xmloption', 'document', false);
				END IF;
				RETURN true;
			END $$; CREATE TABLE {me}.t (id int PRIMARY KEY CHECK ({me}.leave()), v text); CREATE TABLE {me}.u (id int PRIMARY KEY, v text, at timestamptz, i interval)`,
		sql: append([]string{`INSERT INTO {me}.t VALUES (7, 'x')`, `INSERT INTO {me}.u VALUES (1, 'ö\é', '2026-02-03 04:05:06+00', '-1-2 +3')`, `ALTER TABLE {me}.u ADD COLUMN w text DEFAULT 'a\b'`}, rows...),
	},
	{
		name: "peer, limits that a check leaves behind", as: []role{owner},
		setup: `CREATE FUNCTION {me}.leave() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
				IF session_user <> '{me}' THEN
					PERFORM set_config('statement_timeout', '1', false), set_config('lock_timeout', '1', false), set_config('default_transaction_read_only', 'on', false), set_config('idle_in_transaction_session_timeout', '1', false);
				END IF;
				RETURN true;
			END $$; CREATE TABLE {me}.t (id int PRIMARY KEY CHECK ({me}.leave()), v text)`,
		sql: append([]string{`INSERT INTO {me}.t SELECT n, 'x' FROM generate_series(1000, 3000) n`}, rows...),
	},
	{
		name: "peer, domain of who its owner is", as: []role{owner},
		setup: `CREATE DOMAIN {me}.mine AS text CHECK (current_user = '{me}'); CREATE TABLE {me}.t (id int PRIMARY KEY, v {me}.mine)`, sql: rows,
	},
	{
		name: "peer, row level security that holds for the owner", as: []role{owner},
		setup: `{traps}; CREATE TABLE {me}.t (id int PRIMARY KEY, v text); ALTER TABLE {me}.t ENABLE ROW LEVEL SECURITY; ALTER TABLE {me}.t FORCE ROW LEVEL SECURITY;
			CREATE POLICY mine ON {me}.t USING ({me}.deed()) WITH CHECK ({me}.deed() AND current_user = '{me}')`, sql: rows,
	},
}

// rows change a table in all ways.
var rows = []string{
	`INSERT INTO {me}.t (id, v) VALUES (1, 'a'), (2, 'b'), (3, 'c')`, `UPDATE {me}.t SET v = 'd' WHERE id = 2`, `DELETE FROM {me}.t WHERE id = 3`,
	`UPDATE {me}.t SET id = 30 WHERE id = 1`, `BEGIN; INSERT INTO {me}.t (id, v) VALUES (40, 'x'); UPDATE {me}.t SET v = 'y' WHERE id = 40; DELETE FROM {me}.t WHERE id = 40; INSERT INTO {me}.t (id, v) VALUES (41, 'x'); COMMIT`,
	`TRUNCATE {me}.t`, `INSERT INTO {me}.t (id, v) SELECT n, 'n' FROM generate_series(50, 60) n`,
}

// acts call the action.
var acts = []string{
	`SELECT pgbridge.call('{me}.act', '{"n": 1}')`, `SELECT pgbridge."{me}.act"(2)`, `BEGIN; SELECT pgbridge."{me}.act"(3); SELECT pgbridge."{me}.act"(4); COMMIT`,
}

// replayed makes peers call the action, not write its rows.
const replayed = `SELECT pgbridge.register_action('{me}.act(int)', replay => 'function')`
