package integration

import (
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/internal/pgtest"
	"github.com/pgbridge/pgbridge/postgres"
)

// schemaOf is the schema of a database as far as it travels.
func schemaOf(t testing.TB, db *pgtest.DB) string {
	t.Helper()
	return pgtest.DumpSchema(t, db, "--no-owner", "--no-privileges", "--no-tablespaces", "--no-security-labels")
}

// rightsOf is schemaOf with owners and rights.
func rightsOf(t *testing.T, db *pgtest.DB) string {
	t.Helper()
	return pgtest.DumpSchema(t, db, "--no-tablespaces", "--no-security-labels")
}

// evolve tells stories in which the schema changes, to a follower that hears of
// them as they happen and to a restored copy. Each change is one string of a
// client. Schema and rows must end alike.
func evolve(t *testing.T, stories []story) {
	t.Helper()
	source, follower := pgtest.New(t), pgtest.New(t)
	p := newPipeOf(t, source, source.URL(), postgres.ScopeAll)
	publishing, following := p.publish(t), p.follow(t, follower)
	for _, s := range stories {
		if s.since > source.Cluster.Major() || s.until != 0 && s.until < source.Cluster.Major() {
			continue
		}
		schema := action.QuoteIdent(s.name)
		for i, change := range append([]string{"CREATE SCHEMA " + schema, s.before}, s.changes...) {
			conn := source.Connect(t).PgConn()
			if _, err := conn.Exec(t.Context(), "SET search_path = "+schema+", public").ReadAll(); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Exec(t.Context(), change).ReadAll(); err != nil {
				t.Fatalf("%s %d: %v\n%s", s.name, i, err, change)
			}
			conn.Close(t.Context())
		}
	}
	p.caughtUp(t, follower, publishing, following)
	schema, rows := schemaOf(t, source), pgtest.Dump(t, source)
	for _, copy := range []struct {
		name string
		db   *pgtest.DB
	}{{"follower", follower}, {"restored", p.restore(t)}} {
		t.Run(copy.name, func(t *testing.T) {
			pgtest.RequireEqual(t, schemaOf(t, copy.db), schema)
			pgtest.RequireEqual(t, pgtest.Dump(t, copy.db), rows)
			sameSequences(t, source, copy.db)
		})
	}
}

const items = `CREATE TABLE item (id int PRIMARY KEY, note text); INSERT INTO item SELECT n, 'n' || n FROM generate_series(1, 20) n`

func TestSchemaOfTables(t *testing.T) {
	t.Parallel()
	evolve(t, []story{{
		name: "columns", before: items,
		changes: []string{
			`ALTER TABLE item ADD price numeric(8,2) DEFAULT 9.5 NOT NULL; UPDATE item SET price = id WHERE id < 5`,
			`ALTER TABLE item ADD made timestamptz DEFAULT '2020-01-01 00:00+00', ADD twice int GENERATED ALWAYS AS (id * 2) STORED`,
			`ALTER TABLE item ALTER note TYPE varchar(50), ALTER price TYPE text USING price || ' EUR'`,
			`BEGIN; INSERT INTO item (id) VALUES (100); ALTER TABLE item RENAME note TO remark; UPDATE item SET remark = 'new name' WHERE id = 100; COMMIT`,
			`ALTER TABLE item DROP made; UPDATE item SET price = NULL WHERE false; ALTER TABLE item ALTER price DROP NOT NULL; UPDATE item SET price = NULL WHERE id = 3`,
			`ALTER TABLE item ALTER remark SET STORAGE EXTERNAL, ALTER remark SET STATISTICS 50, ALTER remark SET DEFAULT 'x'; INSERT INTO item (id) VALUES (101)`,
			`COMMENT ON COLUMN item.remark IS 'it''s "quoted"; and -- more'; COMMENT ON TABLE item IS $$a
			b$$`,
			`BEGIN; ALTER TABLE item ADD gone int; ROLLBACK`,
			`BEGIN; SAVEPOINT a; ALTER TABLE item ADD gone int; ROLLBACK TO a; ALTER TABLE item ADD kept int; INSERT INTO item (id, kept) VALUES (102, 1); COMMIT`,
		},
	}, {
		name: "values of its own", before: items,
		changes: []string{
			`ALTER TABLE item ADD r float8 DEFAULT random()`, `ALTER TABLE item ADD u uuid DEFAULT gen_random_uuid(), ADD t timestamptz DEFAULT clock_timestamp()`,
			`UPDATE item SET r = 0 WHERE id = 1; DELETE FROM item WHERE id = 2`, `ALTER TABLE item ADD s serial; ALTER TABLE item ADD i int GENERATED ALWAYS AS IDENTITY`,
			`INSERT INTO item (id) VALUES (50); ALTER TABLE item ALTER t TYPE text USING t::text || random()`,
			`BEGIN; ALTER TABLE item ADD x float8 DEFAULT random(); INSERT INTO item (id) VALUES (51); UPDATE item SET x = 1 WHERE id < 9; COMMIT`,
		},
	}, {
		name: "new and gone", before: items,
		changes: []string{
			`CREATE TABLE a (id int PRIMARY KEY, item int REFERENCES item); INSERT INTO a VALUES (1, 1), (2, 2); CREATE TABLE b (note text); INSERT INTO b VALUES ('x'), ('x'), (NULL)`,
			`UPDATE b SET note = 'y' WHERE note = 'x'; DELETE FROM b WHERE note IS NULL`, `ALTER TABLE b ADD id serial PRIMARY KEY; UPDATE b SET note = 'keyed' WHERE id = 1`,
			`CREATE TABLE c AS SELECT id, note, random() AS r FROM item; UPDATE c SET note = 'c' WHERE id = 4`, `SELECT id, note INTO d FROM item WHERE id < 5; DELETE FROM d WHERE id = 1`,
			`CREATE TABLE IF NOT EXISTS a (x int); CREATE TABLE IF NOT EXISTS e (LIKE item INCLUDING ALL); INSERT INTO e SELECT * FROM item`,
			`CREATE UNLOGGED TABLE un (id int PRIMARY KEY); ALTER TABLE un SET LOGGED; INSERT INTO un VALUES (1)`,
			`CREATE TEMP TABLE tmp (id int); INSERT INTO tmp VALUES (1); ALTER TABLE tmp ADD x int; CREATE TABLE from_tmp AS TABLE tmp; DROP TABLE tmp`,
			`DROP TABLE c; DROP TABLE IF EXISTS never; DROP TABLE a, item CASCADE`,
			`CREATE TABLE item (other text PRIMARY KEY); INSERT INTO item VALUES ('again')`,
		},
	}, {
		name: "renamed", before: items + `; CREATE SCHEMA r1; CREATE TABLE r1.t (id int PRIMARY KEY, v int); INSERT INTO r1.t VALUES (1, 1)`,
		changes: []string{
			`ALTER TABLE item RENAME TO thing; INSERT INTO thing VALUES (30, 'x'); UPDATE thing SET note = 'y' WHERE id = 30`,
			`ALTER TABLE thing RENAME CONSTRAINT item_pkey TO thing_pk; DELETE FROM thing WHERE id = 3`,
			`UPDATE r1.t SET v = 2`, `ALTER SCHEMA r1 RENAME TO r2`, `UPDATE r2.t SET v = 3; INSERT INTO r2.t VALUES (2, 2)`,
			`BEGIN; UPDATE r2.t SET v = 4; ALTER SCHEMA r2 RENAME TO r3; UPDATE r3.t SET v = 5; INSERT INTO r3.t VALUES (3, 3); COMMIT`, `INSERT INTO r3.t VALUES (4, 4)`,
			`ALTER TABLE r3.t SET SCHEMA renamed; INSERT INTO t VALUES (5, 5)`, `ALTER TABLE thing RENAME TO swap; ALTER TABLE t RENAME TO thing; ALTER TABLE swap RENAME TO t; INSERT INTO t VALUES (60, 'swapped'); INSERT INTO thing VALUES (6, 6)`,
			`DROP SCHEMA r3`, `CREATE SCHEMA r4 CREATE TABLE n (id int PRIMARY KEY) CREATE VIEW v AS SELECT id FROM n; INSERT INTO r4.n VALUES (1)`,
		},
	}})
}

func TestSchemaOfPartitions(t *testing.T) {
	t.Parallel()
	evolve(t, []story{{
		name: "parts", before: `CREATE TABLE event (id int, at int, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at); CREATE TABLE e1 PARTITION OF event FOR VALUES FROM (0) TO (10);
			INSERT INTO event SELECT n, n % 10, 'e' FROM generate_series(1, 30) n`,
		changes: []string{
			`CREATE TABLE e2 PARTITION OF event FOR VALUES FROM (10) TO (20) PARTITION BY LIST (id); CREATE TABLE e2a PARTITION OF e2 DEFAULT; INSERT INTO event VALUES (100, 12, 'two')`,
			`CREATE TABLE e3 (note text, at int NOT NULL, id int NOT NULL); INSERT INTO e3 VALUES ('before', 25, 1); ALTER TABLE event ATTACH PARTITION e3 FOR VALUES FROM (20) TO (30); INSERT INTO event VALUES (200, 26, 'in'); UPDATE event SET note = 'up' WHERE at > 20`,
			`ALTER TABLE event DETACH PARTITION e1; UPDATE e1 SET note = 'alone' WHERE id = 5; INSERT INTO e1 VALUES (500, 500, 'own')`,
			`ALTER TABLE event ADD extra int DEFAULT 7; UPDATE event SET extra = at; ALTER TABLE event ADD r float8 DEFAULT random()`,
			`DROP TABLE e1`, `CREATE TABLE e1 PARTITION OF event FOR VALUES FROM (0) TO (10); INSERT INTO event (id, at) VALUES (7, 7)`,
			`BEGIN; ALTER TABLE event DETACH PARTITION e3; DELETE FROM e3 WHERE id = 1; ALTER TABLE event ATTACH PARTITION e3 FOR VALUES FROM (20) TO (40); INSERT INTO event (id, at) VALUES (8, 33); COMMIT`,
			`UPDATE event SET at = 34 WHERE at = 12`, `CREATE INDEX ON event (note); DROP TABLE e2; DELETE FROM e3 WHERE at = 25`,
		},
	}, {
		name: "detached by itself", before: `CREATE TABLE event (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE e1 PARTITION OF event FOR VALUES FROM (0) TO (10); INSERT INTO event VALUES (1)`,
		changes: []string{`ALTER TABLE event DETACH PARTITION e1 CONCURRENTLY`, `INSERT INTO e1 VALUES (2)`},
	}, {
		name: "heirs", before: `CREATE TABLE top (id int PRIMARY KEY, n int); CREATE TABLE kid (k int) INHERITS (top); ALTER TABLE kid ADD PRIMARY KEY (id); INSERT INTO top VALUES (1, 1); INSERT INTO kid VALUES (2, 2, 2)`,
		changes: []string{`ALTER TABLE top ADD m int DEFAULT 3; UPDATE top SET m = 4`, `ALTER TABLE kid NO INHERIT top; UPDATE top SET n = 9; UPDATE kid SET n = 8`},
	}})
}

func TestSchemaOfOtherObjects(t *testing.T) {
	t.Parallel()
	evolve(t, []story{{
		name: "types", before: items,
		changes: []string{
			`CREATE TYPE mood AS ENUM ('sad', 'ok'); ALTER TABLE item ADD m mood DEFAULT 'ok'; UPDATE item SET m = 'sad' WHERE id = 1`, `ALTER TYPE mood ADD VALUE 'glad' AFTER 'ok'`, `UPDATE item SET m = 'glad' WHERE id = 2`,
			`ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'; UPDATE item SET m = 'fine' WHERE id = 2`, `CREATE TYPE pair AS (a int, b text); ALTER TABLE item ADD p pair; UPDATE item SET p = (id, note) WHERE id < 5`,
			`ALTER TYPE pair RENAME TO couple; ALTER TYPE couple ADD ATTRIBUTE c int CASCADE; UPDATE item SET p.c = 5 WHERE id = 3`, `CREATE DOMAIN positive AS int CHECK (VALUE > 0); ALTER TABLE item ADD d positive; UPDATE item SET d = id`,
			`ALTER DOMAIN positive ADD CONSTRAINT small CHECK (VALUE < 1000) NOT VALID; ALTER DOMAIN positive VALIDATE CONSTRAINT small`, `CREATE TYPE span AS RANGE (subtype = float8); ALTER TABLE item ADD s span; UPDATE item SET s = '[1,2)'`,
			`ALTER TABLE item DROP d; DROP DOMAIN positive`,
		},
	}, {
		name: "indexes", before: items,
		changes: []string{
			`CREATE INDEX ON item (note); CREATE UNIQUE INDEX "Odd name" ON item (lower(note)) WHERE id > 0`, `CREATE INDEX CONCURRENTLY slow ON item (id, note)`, `DROP INDEX CONCURRENTLY slow`, `ALTER INDEX item_note_idx RENAME TO note_index`,
			`ALTER TABLE item ADD CONSTRAINT un UNIQUE (note) DEFERRABLE, ADD CHECK (id < 1000), ADD CONSTRAINT ex EXCLUDE USING btree (id WITH =)`, `ALTER TABLE item DROP CONSTRAINT un`,
			`CREATE UNIQUE INDEX other ON item (id); ALTER TABLE item REPLICA IDENTITY USING INDEX other; UPDATE item SET note = 'ri' WHERE id = 1`,
			`ALTER TABLE item REPLICA IDENTITY FULL; UPDATE item SET note = 'full' WHERE id = 1; ALTER TABLE item DROP CONSTRAINT item_pkey; UPDATE item SET note = 'no key' WHERE id = 1`,
			`CREATE STATISTICS st ON id, note FROM item; REINDEX TABLE item`,
		},
	}, {
		name: "code", before: items + `; CREATE TABLE log (n serial PRIMARY KEY, what text)`,
		changes: []string{
			`CREATE VIEW v AS SELECT id FROM item; CREATE OR REPLACE VIEW v AS SELECT id, note FROM item; CREATE MATERIALIZED VIEW mv AS SELECT count(*) FROM item; CREATE RECURSIVE VIEW nums (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM nums WHERE n < 5`,
			`INSERT INTO item VALUES (40, 'm'); REFRESH MATERIALIZED VIEW mv`, `ALTER VIEW v RENAME TO w; ALTER VIEW w ALTER id SET DEFAULT 5`,
			`CREATE FUNCTION later() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM log'; CREATE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS $x$ BEGIN INSERT INTO log (what) VALUES ('a;b'); RETURN NEW; END $x$; CREATE TRIGGER noted AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION note_it()`,
			`INSERT INTO item VALUES (41, 'triggers')`, `CREATE OR REPLACE FUNCTION later() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT 1::bigint'; ALTER FUNCTION later() STABLE; CREATE PROCEDURE proc() LANGUAGE plpgsql AS 'BEGIN NULL; END'`,
			`ALTER TABLE item DISABLE TRIGGER noted; INSERT INTO item VALUES (42, 'quiet'); ALTER TRIGGER noted ON item RENAME TO heard; CREATE RULE r AS ON DELETE TO log DO ALSO (SELECT 1; SELECT 2)`,
			`CREATE AGGREGATE total (int) (sfunc = int4pl, stype = int); CREATE OPERATOR ### (leftarg = int, rightarg = int, function = int4pl); CREATE COLLATION co FROM "C"; CREATE POLICY po ON item USING (id > 0); ALTER TABLE item ENABLE ROW LEVEL SECURITY`,
			`CREATE SEQUENCE s START 100 INCREMENT 5; SELECT nextval('s'); ALTER SEQUENCE s INCREMENT 7 OWNED BY item.id; SELECT nextval('s')`, `DROP SEQUENCE s; CREATE SEQUENCE s; SELECT nextval('s') FROM generate_series(1, 9); INSERT INTO log DEFAULT VALUES`,
			`CREATE TEXT SEARCH CONFIGURATION tsc (COPY = simple); ALTER TEXT SEARCH CONFIGURATION tsc ALTER MAPPING FOR asciiword, word WITH simple; CREATE CAST (item AS text) WITH INOUT`,
			`DROP FUNCTION later(); DROP VIEW w; DROP MATERIALIZED VIEW mv; DROP AGGREGATE total (int); DROP CAST (item AS text)`,
		},
	}, {
		name: "functions that change", before: items,
		changes: []string{
			`DO $$ BEGIN CREATE TABLE made (id int PRIMARY KEY); INSERT INTO made VALUES (1); EXECUTE format('ALTER TABLE %I ADD %I text DEFAULT %L', 'made', 'odd "col"', 'it''s'); UPDATE made SET "odd ""col""" = 'x'; END $$`,
			`CREATE FUNCTION grow(n int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..n LOOP EXECUTE 'CREATE TABLE grown_' || i || ' (id int PRIMARY KEY)'; EXECUTE format('INSERT INTO grown_%s VALUES (%s)', i, i); END LOOP; END $$`,
			`SELECT grow(3); INSERT INTO grown_2 VALUES (22)`, `CREATE FUNCTION several() RETURNS void LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..3 LOOP EXECUTE 'CREATE TABLE IF NOT EXISTS sv (id int); ALTER TABLE sv ADD c' || i || ' int; CREATE INDEX ON sv (c' || i || ')'; EXECUTE 'CREATE TABLE sw (); SELECT 1; DROP TABLE sw'; END LOOP; END $$; SELECT several()`,
			`CREATE FUNCTION in_sql() RETURNS void LANGUAGE sql AS 'CREATE TABLE by_sql (id int PRIMARY KEY); SELECT 1; ALTER TABLE by_sql ADD x int'; SELECT in_sql()`, `DO $$ BEGIN ALTER TABLE item ADD a int; BEGIN ALTER TABLE item ADD b int; RAISE EXCEPTION 'no'; EXCEPTION WHEN OTHERS THEN ALTER TABLE item ADD c int; END; UPDATE item SET c = id; END $$`,
			`SELECT 1; CREATE TABLE "one;two" (id int PRIMARY KEY); /* ; */ INSERT INTO "one;two" VALUES (1); CREATE TABLE t3 (id int PRIMARY KEY, t text DEFAULT 'a;b'); DROP TABLE "one;two"; CREATE TABLE "one;two" (x text PRIMARY KEY); INSERT INTO "one;two" VALUES (';')`,
		},
	}, {
		name: "paths", before: items + `; CREATE SCHEMA "Other; one"; CREATE TABLE "Other; one".item (x int PRIMARY KEY)`,
		changes: []string{
			`SET search_path = "Other; one", paths; ALTER TABLE item ADD y int; INSERT INTO item VALUES (1, 1); CREATE TABLE here (id int PRIMARY KEY)`, `SET search_path = paths; ALTER TABLE item ADD y text`,
			`SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Tokyo'; SET IntervalStyle = 'sql_standard'; ALTER TABLE item ADD at timestamptz DEFAULT '02/01/2020 03:00', ADD i interval DEFAULT '1-2'; INSERT INTO item (id) VALUES (77)`,
			`INSERT INTO item (id) VALUES (79)`,
		},
	}, {
		name: "extensions", before: items,
		changes: []string{
			`CREATE EXTENSION hstore WITH SCHEMA extensions`, `ALTER TABLE item ADD h hstore; UPDATE item SET h = 'a=>1' WHERE id = 1`, `ALTER TABLE item DROP h; DROP EXTENSION hstore; CREATE EXTENSION IF NOT EXISTS citext; ALTER TABLE item ADD c citext; UPDATE item SET c = note`,
		},
	}})
}

// Passwords, what is said of roles, and what belongs to the server stay at home.
// Rights and owners travel.
func TestSchemaThatStaysAtHome(t *testing.T) {
	t.Parallel()
	source, follower := pgtest.New(t), pgtest.New(t)
	source.Exec(t, items)
	p := newPipeOf(t, source, source.URL(), postgres.ScopeAll)
	publishing, following := p.publish(t), p.follow(t, follower)
	source.Exec(t, `CREATE ROLE travels PASSWORD 'hush-1'`)
	t.Cleanup(func() {
		for _, db := range []*pgtest.DB{follower, source} {
			db.Exec(t, `DROP OWNED BY travels CASCADE`)
		}
		source.Exec(t, `DROP ROLE travels`)
	})
	source.Exec(t, `GRANT SELECT ON item TO travels; ALTER ROLE travels PASSWORD 'hush-2'; ALTER TABLE item ADD a int; ALTER TABLE item OWNER TO travels;
		ALTER TABLE item ADD b int, OWNER TO travels; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO travels; CREATE SCHEMA hers AUTHORIZATION travels; CREATE SCHEMA AUTHORIZATION CURRENT_USER;
		GRANT CREATE ON DATABASE `+action.QuoteIdent(source.Name)+` TO travels; GRANT pg_monitor TO travels; REVOKE CREATE ON SCHEMA hers FROM travels;
		CREATE FOREIGN DATA WRAPPER w; CREATE SERVER sv FOREIGN DATA WRAPPER w; CREATE USER MAPPING FOR travels SERVER sv OPTIONS (password 'hush-3'); DROP USER MAPPING FOR travels SERVER sv; INSERT INTO item (id, b) VALUES (500, 5)`)
	p.caughtUp(t, follower, publishing, following)
	pgtest.RequireEqual(t, rightsOf(t, follower), rightsOf(t, source))
	sameData(t, source, follower)
	for _, body := range p.bodies(t) {
		for _, secret := range []string{"hush-", "pg_monitor", source.Name} {
			if strings.Contains(string(body), secret) {
				t.Errorf("%s is in the archive", secret)
			}
		}
	}
}

// A rewrite that fills several records, a statement in the middle of a huge
// transaction, and a start in between.
func TestSchemaOfHugeTransactions(t *testing.T) {
	t.Parallel()
	source, follower := pgtest.New(t), pgtest.New(t)
	source.Exec(t, `CREATE TABLE big (id int PRIMARY KEY, note text); INSERT INTO big SELECT n, repeat('x', 250) FROM generate_series(1, 40000) n`)
	p := newPipeOf(t, source, source.URL(), postgres.ScopeAll)
	publishing, following := p.publish(t), p.follow(t, follower)
	source.Exec(t, `ALTER TABLE big ADD r float8 DEFAULT random()`)
	source.Exec(t, `BEGIN; UPDATE big SET note = repeat('y', 250); ALTER TABLE big RENAME note TO remark; UPDATE big SET remark = 'short' WHERE id % 2 = 0; CREATE TABLE more (id int PRIMARY KEY); INSERT INTO more SELECT id FROM big; COMMIT; INSERT INTO more VALUES (0)`)
	p.caughtUp(t, follower, publishing, following)
	pgtest.RequireEqual(t, schemaOf(t, follower), schemaOf(t, source))
	pgtest.RequireEqual(t, pgtest.Dump(t, follower), pgtest.Dump(t, source))
	pgtest.RequireEqual(t, pgtest.Dump(t, p.restore(t)), pgtest.Dump(t, source))
	parts := 0
	for _, body := range p.bodies(t) {
		parts += strings.Count(string(body), `"part":`)
	}
	if parts < 2 {
		t.Errorf("the transactions fill %d parts, want more", parts)
	}
}
