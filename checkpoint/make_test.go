package checkpoint_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/internal/pgtest"
	"github.com/pgbridge/pgbridge/postgres"
)

const zoo = `
	CREATE SCHEMA "My App";
	CREATE ROLE "ROLENAME" NOLOGIN;
	CREATE TYPE mood AS ENUM ('glad', 'sad');
	CREATE TABLE plain (id int PRIMARY KEY, v text, n numeric, at timestamptz);
	INSERT INTO plain SELECT i, CASE WHEN i % 7 > 0 THEN 'row ' || i END, i / 3.0, '2026-01-01'::timestamptz + i * interval '1 s' FROM generate_series(1, 2000) i;
	CREATE TABLE "My App"."Quoted ""T""" ("The Id" bigint PRIMARY KEY, "select" text);
	INSERT INTO "My App"."Quoted ""T""" VALUES (1, E'tab\there'), (2, E'back\\slash \\N'), (3, NULL), (4, E'line\nbreak\r\b\f\v'), (5, ''), (6, 'ü€😀');
	CREATE TABLE nothing (id int PRIMARY KEY);
	CREATE TABLE emptied (id int PRIMARY KEY); INSERT INTO emptied SELECT generate_series(1, 100); DELETE FROM emptied;
	CREATE TABLE made (a int PRIMARY KEY, twice int GENERATED ALWAYS AS (a * 2) STORED, m mood);
	INSERT INTO made VALUES (1, DEFAULT, 'glad'), (2, DEFAULT, 'sad');
	ALTER TABLE made DROP COLUMN m; ALTER TABLE made ADD m mood;
	CREATE TABLE parted (id int, region text, note text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
	CREATE TABLE parted_eu (note text, region text NOT NULL, id int NOT NULL);
	ALTER TABLE parted ATTACH PARTITION parted_eu FOR VALUES IN ('eu');
	CREATE TABLE parted_us PARTITION OF parted FOR VALUES IN ('us') PARTITION BY RANGE (id);
	CREATE TABLE "parted us low" PARTITION OF parted_us FOR VALUES FROM (0) TO (10);
	CREATE TABLE parted_us_high PARTITION OF parted_us FOR VALUES FROM (10) TO (100);
	INSERT INTO parted SELECT i, CASE WHEN i % 2 = 0 THEN 'eu' ELSE 'us' END, 'n' || i FROM generate_series(1, 40) i;
	CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (extra text, PRIMARY KEY (id)) INHERITS (parent);
	INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 'x');
	CREATE TABLE keyless (v text); ALTER TABLE keyless REPLICA IDENTITY FULL; INSERT INTO keyless VALUES ('a'), ('a'), (NULL);
	CREATE SEQUENCE counter START 10; SELECT nextval('counter');
	CREATE MATERIALIZED VIEW b_base AS SELECT count(*) AS n FROM plain;
	CREATE VIEW between_them AS SELECT n + 1 AS n FROM b_base;
	CREATE MATERIALIZED VIEW a_derived AS SELECT n FROM between_them;
	CREATE MATERIALIZED VIEW c_unfilled AS SELECT 1 AS n WITH NO DATA;
	CREATE POLICY only_some ON plain TO "ROLENAME" USING (true);`

// A checkpoint of everything that is odd holds, table by table, what COPY says.
func TestCreateHoldsEverything(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	role := "role_" + db.Name
	db.Exec(t, strings.ReplaceAll(zoo, "ROLENAME", role))
	t.Cleanup(func() { db.Exec(t, "DROP POLICY only_some ON plain; DROP ROLE \""+role+"\"") })
	o := newOrigin(t, db)
	r := o.create(t)
	m := o.manifest(t, r)
	rows := o.rows(t, m)

	conn, err := o.maker.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for table, query := range map[string]string{
		"public.plain":            `SELECT id, v, n, at FROM public.plain`,
		`"My App"."Quoted ""T"""`: `SELECT "The Id", "select" FROM "My App"."Quoted ""T"""`,
		"public.nothing":          `SELECT id FROM public.nothing`,
		"public.emptied":          `SELECT id FROM public.emptied`,
		"public.made":             `SELECT a, m FROM public.made`,
		"public.parted":           `SELECT id, region, note FROM public.parted`,
		"public.parent":           `SELECT id FROM ONLY public.parent`,
		"public.child":            `SELECT id, extra FROM public.child`,
		"public.keyless":          `SELECT v FROM public.keyless`,
	} {
		lines := copied(t, conn, query)
		if got, ok := rows[table]; ok && !slices.Equal(got, lines) {
			t.Errorf("%s: got rows\n%q\nwant\n%q", table, got, lines)
		}
		i := slices.IndexFunc(m.State, func(s checkpoint.TableState) bool { return s.Table.String() == table })
		if i < 0 || m.Tables[i].Name.String() != table {
			t.Errorf("%s: not in the manifest at the same place of tables and state", table)
			continue
		}
		if got, want := stateOf(m.State[i]), stateInSQL(t, db, lines); got != want {
			t.Errorf("%s: got state %s, want %s", table, got, want)
		}
	}
	for leaf, query := range map[string]string{
		"public.parted_eu":       `SELECT id, region, note FROM public.parted_eu`,
		`public."parted us low"`: `SELECT id, region, note FROM public."parted us low"`,
		"public.parted_us_high":  `SELECT id, region, note FROM public.parted_us_high`,
	} {
		if want := copied(t, conn, query); !slices.Equal(rows[leaf], want) {
			t.Errorf("%s: got rows %q, want %q", leaf, rows[leaf], want)
		}
	}
	if _, ok := rows["public.parted"]; ok || len(m.Files) != 11 {
		t.Errorf("files: got %d, want 11, none of them of a table without storage", len(m.Files))
	}
	if got, want := fmt.Sprint(m.Views), "[public.b_base public.a_derived]"; got != want {
		t.Errorf("views: got %s, want %s", got, want)
	}
	if got := fmt.Sprint(m.Sequences); got != "[{public.counter 10 true}]" {
		t.Errorf("sequences: got %s", got)
	}
	if len(m.Roles) != 2 || m.Roles[0].Name != "postgres" || !m.Roles[0].Superuser || m.Roles[1].Name != role {
		t.Errorf("roles: got %+v, want postgres and %s", m.Roles, role)
	}
	if got := fmt.Sprint(m.Extensions); got != "[{plpgsql 1.0}]" {
		t.Errorf("extensions: got %s", got)
	}
	if len(m.Heads) != 1 || m.Heads[0].Writer != o.key.Writer() || m.Heads[0].Seq != r.ChainSeq {
		t.Errorf("heads: got %+v", m.Heads)
	}
	for text, chunks := range map[string][]checkpoint.Chunk{`CREATE TABLE public.plain`: m.PreData, `ADD CONSTRAINT plain_pkey`: m.PostData} {
		_, body := o.read(t, archive.TypeChunk, chunks[0].Seq, chunks[0].Digest)
		if !strings.Contains(string(body), text) {
			t.Errorf("schema: %q is not in it:\n%s", text, body)
		}
	}
	if slots := db.Value(t, "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"); slots != "1" {
		t.Errorf("got %s slots, want only that of the chain", slots)
	}
}

// What has not changed is not sent again, and one row that changed costs one chunk.
func TestCreateReusesChunks(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(t, `CREATE TABLE big (id int PRIMARY KEY, v text) WITH (fillfactor = 70, autovacuum_enabled = off);
		INSERT INTO big SELECT i, repeat('x', 900) || i FROM generate_series(1, 40000) i;
		CREATE TABLE small (id int PRIMARY KEY, v text); INSERT INTO small VALUES (1, 'one');`)
	o := newOrigin(t, db)
	first := o.create(t)
	chunks, others := o.folder.puts()
	if chunks != first.Fresh || chunks != first.Chunks || others != 1 || first.Bytes != first.Sent {
		t.Errorf("first: %d chunks and %d others were put, got %+v", chunks, others, first)
	}
	if first.Chunks < 6 { // schema twice, small, and at least three of big
		t.Errorf("first: got %d chunks, want 6 or more", first.Chunks)
	}
	second := o.create(t)
	if chunks, others := o.folder.puts(); chunks != 0 || others != 1 || second.Fresh != 0 || second.Sent != 0 || second.Chunks != first.Chunks {
		t.Errorf("nothing changed: %d chunks and %d others were put, got %+v", chunks, others, second)
	}
	if first.Number != 1 || second.Number != 2 {
		t.Errorf("numbers: got %d and %d", first.Number, second.Number)
	}
	h, _ := o.read(t, archive.TypeCheckpoint, 2, second.Digest)
	if h.Prev != first.Digest {
		t.Errorf("prev: got %s, want %s", h.Prev, first.Digest)
	}
	db.Exec(t, `UPDATE big SET v = 'changed' WHERE id = 20000`)
	third := o.create(t)
	if chunks, _ := o.folder.puts(); chunks != 1 || third.Fresh != 1 {
		t.Errorf("one row changed: %d chunks were put, want 1", chunks)
	}
	o.rows(t, o.manifest(t, third))

	other := &counting{Folder: &archive.Folder{Dir: t.TempDir()}}
	o.maker.Archives = append(o.maker.Archives, other)
	fourth := o.create(t)
	if chunks, others := other.puts(); chunks != fourth.Chunks || others != 1 {
		t.Errorf("an archive that has nothing: got %d chunks and %d others, want all %d", chunks, others, fourth.Chunks)
	}
}

// Chunks are bounded, and a row that is larger than the bound is alone in one.
func TestCreateCutsChunks(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(t, `CREATE TABLE wide (id int PRIMARY KEY, v text);
		INSERT INTO wide SELECT i, repeat(i::text, 1 << 20) FROM generate_series(10, 28) i;
		CREATE TABLE huge (id int PRIMARY KEY, v text);
		INSERT INTO huge VALUES (1, 'before'), (2, repeat('h', 20 << 20)), (3, 'after')`)
	o := newOrigin(t, db)
	m := o.manifest(t, o.create(t))
	rows := o.rows(t, m)
	for table, want := range map[string]int{"public.wide": 19, "public.huge": 3} {
		if got := len(rows[table]); got != want {
			t.Errorf("%s: got %d rows, want %d", table, got, want)
		}
	}
	counts := map[string][]int64{}
	for _, f := range m.Files {
		for _, c := range f.Chunks {
			counts[f.Table.String()] = append(counts[f.Table.String()], c.Rows)
		}
	}
	if got := fmt.Sprint(counts["public.huge"]); got != "[1 1 1]" {
		t.Errorf("huge: got chunks of %s rows, want the huge one alone", got)
	}
	if got := len(counts["public.wide"]); got < 3 { // 38 MiB
		t.Errorf("wide: got %d chunks, want 3 or more", got)
	}
}

// Several sessions read a large table in ranges of blocks: each row once, also those
// at the ends.
func TestCreateDividesTables(t *testing.T) { // not parallel: it sets a variable of the package
	checkpoint.DivideTables(t, 3)
	db := pgtest.New(t)
	db.Exec(t, `CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, repeat('x', i % 300) FROM generate_series(1, 3000) i;
		DELETE FROM t WHERE id % 3 = 0; CREATE TABLE small (id int PRIMARY KEY); INSERT INTO small VALUES (1); CREATE TABLE none (id int PRIMARY KEY)`)
	o := newOrigin(t, db)
	o.maker.Jobs = 3
	var last checkpoint.Progress
	o.maker.Progress = func(p checkpoint.Progress) { last = p }
	r := o.create(t)
	m := o.manifest(t, r)
	rows := o.rows(t, m)
	conn := db.Connect(t)
	for table, query := range map[string]string{"public.t": `SELECT id, v FROM t`, "public.small": `SELECT id FROM small`, "public.none": `SELECT id FROM none`} {
		if want := copied(t, conn, query); !slices.Equal(rows[table], want) {
			t.Errorf("%s: got %d rows, want %d", table, len(rows[table]), len(want))
		}
	}
	if r.Chunks < 10 { // about 20 ranges of three blocks
		t.Errorf("got %d chunks, want more than 10", r.Chunks)
	}
	if last.Done != last.Total || last.Rows != r.Rows || last.Total == 0 {
		t.Errorf("progress ended with %+v, want all of it and %d rows", last, r.Rows)
	}
}

// Ranges of blocks are read by queries. To plan one runs the constant part of an index
// expression, which is not for the role that makes a checkpoint: it reads such a table whole.
func TestCreateRunsNoCodeOfUsers(t *testing.T) { // not parallel: it sets a variable of the package
	checkpoint.DivideTables(t, 3)
	db := pgtest.New(t)
	role := `"owner_` + db.Name + `"`
	t.Cleanup(func() { db.Exec(t, "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	db.Exec(t, `CREATE ROLE `+role+`; CREATE SCHEMA app AUTHORIZATION `+role+`; SET ROLE `+role+`;
		CREATE FUNCTION app.trap() RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
			IF current_user <> $o$owner_`+db.Name+`$o$ THEN RAISE 'code of the owner runs as %', current_user; END IF; RETURN 1; END $$;
		CREATE TABLE app.t (id int PRIMARY KEY, v text); CREATE INDEX ON app.t ((id + app.trap()));
		INSERT INTO app.t SELECT i, repeat('x', 300) FROM generate_series(1, 2000) i; RESET ROLE`)
	o := newOrigin(t, db)
	o.maker.Jobs = 3
	if r := o.create(t); r.Rows != 2000 {
		t.Errorf("got %d rows, want 2000", r.Rows)
	}
}

// One session leaves the server's cache to those who work with it.
func TestCreateLeavesTheCache(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Config{Settings: map[string]string{"shared_buffers": "4MB", "autovacuum": "off"}})
	db := cluster.Database(t)
	db.Exec(t, `CREATE EXTENSION pg_buffercache; CREATE TABLE big (id int PRIMARY KEY, v text); INSERT INTO big SELECT i, repeat('x', 500) FROM generate_series(1, 20000) i`)
	db.Exec(t, "VACUUM FREEZE big")
	o := newOrigin(t, db)
	cluster.Stop(t)
	cluster.Start(t)
	o.create(t)
	cached := db.Value(t, `SELECT count(*) FROM pg_buffercache WHERE relfilenode = pg_relation_filenode('big') AND reldatabase = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	if n, err := strconv.Atoi(cached); err != nil || n > 64 { // of 512; the server's ring has 32
		t.Errorf("%s buffers have blocks of the table that was read (%v), want 64 at most", cached, err)
	}
}

// ScanTable says of a live table what the manifest says of it.
func TestScanTable(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	role := "role_" + db.Name
	db.Exec(t, strings.ReplaceAll(zoo, "ROLENAME", role))
	t.Cleanup(func() { db.Exec(t, `DROP POLICY only_some ON plain; DROP ROLE "`+role+`"`) })
	o := newOrigin(t, db)
	m := o.manifest(t, o.create(t))
	conn, err := o.maker.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	scan := func() (states []checkpoint.TableState) {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback(t.Context())
		tables, err := postgres.Tables(t.Context(), tx)
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range tables {
			state, err := checkpoint.ScanTable(t.Context(), tx, table)
			if err != nil {
				t.Fatal(err)
			}
			states = append(states, state)
		}
		return states
	}
	if got := checkpoint.Differences(m.State, scan()); len(got) > 0 {
		t.Errorf("nothing has changed: got differences in %s", got)
	}
	db.Exec(t, `UPDATE parted SET note = 'other' WHERE id = 3; DELETE FROM keyless WHERE v IS NULL; INSERT INTO keyless VALUES ('a')`)
	if got, want := fmt.Sprint(checkpoint.Differences(m.State, scan())), "[public.keyless public.parted]"; got != want {
		t.Errorf("two tables have changed: got %s, want %s", got, want)
	}
}

// Tables that hold the same share their chunks, and no number is given twice.
func TestCreateSharesChunks(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(t, `DO $$ BEGIN
			FOR i IN 1..30 LOOP
				EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, v text); INSERT INTO t%1$s SELECT i, ''same'' FROM generate_series(1, 100) i', i);
			END LOOP;
		END $$`)
	o := newOrigin(t, db)
	o.maker.Jobs = 4
	r := o.create(t)
	if puts, _ := o.folder.puts(); r.Chunks != 32 || r.Fresh != 3 || puts != 3 {
		t.Errorf("got %d chunks, %d of them sent in %d puts, want 32, 3 and 3: the rows and both parts of the schema", r.Chunks, r.Fresh, puts)
	}
	o.rows(t, o.manifest(t, r))
}

// A role that may replicate and owns the tables is enough.
func TestCreateWithoutSuperuser(t *testing.T) {
	t.Parallel()
	admin := pgtest.New(t) // lives longer than the database that the role owns
	role := "plain_" + admin.Name
	admin.Exec(t, `CREATE ROLE "`+role+`" LOGIN REPLICATION`)
	t.Cleanup(func() { admin.Exec(t, `DROP ROLE "`+role+`"`) })
	db := pgtest.New(t)
	db.Exec(t, `ALTER DATABASE "`+db.Name+`" OWNER TO "`+role+`"; SET ROLE "`+role+`"; CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY);
		INSERT INTO app.t SELECT generate_series(1, 10); CREATE SEQUENCE app.s; RESET ROLE`)
	o := newOriginAt(t, db, db.URLAs(role))
	if r := o.create(t); r.Rows != 10 || r.Tables != 1 {
		t.Errorf("got %+v, want the ten rows", r)
	}
}
