package checkpoint_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/internal/pgtest"
	"github.com/pgbridge/pgbridge/publisher"
	"github.com/pgbridge/pgbridge/sql"
)

// origin is a database that publishes, and a folder of checkpoints of it.
type origin struct {
	db     *pgtest.DB
	id     action.Digest
	key    archive.Key
	folder *counting
	maker  checkpoint.Maker
}

// newOrigin sets db up with all the tables that it has.
func newOrigin(t *testing.T, db *pgtest.DB) *origin {
	t.Helper()
	ctx := t.Context()
	key, err := archive.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	replication, err := sql.ReplicationConfig(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	dump, err := sql.FindDump(ctx, db.Cluster.Major())
	if err != nil {
		t.Fatal(err)
	}
	connect := func(ctx context.Context) (*pgx.Conn, error) { return sql.Connect(ctx, db.URL()) }
	conn, err := connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tables, err := sql.Tables(ctx, conn)
	if err != nil {
		t.Fatal(err)
	}
	in := publisher.Init{Connect: connect, Replication: replication, URL: db.URL(), Dump: dump, Name: "test", Tables: tables, Key: key}
	id, err := in.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{db: db, id: id, key: key, folder: &counting{Folder: &archive.Folder{Dir: t.TempDir()}}}
	o.maker = checkpoint.Maker{
		Connect: connect, Replication: replication, URL: db.URL(), Dump: dump, Key: key,
		Archives: []archive.Putter{o.folder}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	return o
}

// counting is a folder that counts, and may fail.
type counting struct {
	*archive.Folder
	mu     sync.Mutex
	chunks int
	others int
	before func(n int) error // the n-th Put, from 1; may be nil
	after  func(n int) error
}

func (c *counting) Put(ctx context.Context, raw []byte) (archive.Receipt, error) {
	item, err := archive.ParseItem(raw)
	if err != nil {
		return archive.Receipt{}, err
	}
	c.mu.Lock()
	if slices.Contains(item.Tags, archive.Tag{Name: "Type", Value: "chunk"}) {
		c.chunks++
	} else {
		c.others++
	}
	n, before, after := c.chunks+c.others, c.before, c.after
	c.mu.Unlock()
	if before != nil {
		if err := before(n); err != nil {
			return archive.Receipt{}, err
		}
	}
	receipt, err := c.Folder.Put(ctx, raw)
	if err == nil && after != nil {
		err = after(n)
	}
	return receipt, err
}

// puts are how many chunks and other records were put since the last question.
func (c *counting) puts() (chunks, others int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	chunks, others = c.chunks, c.others
	c.chunks, c.others = 0, 0
	return chunks, others
}

func (o *origin) create(t *testing.T) checkpoint.Result {
	t.Helper()
	r, err := o.maker.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// read returns what is in the archive under a number and digest.
func (o *origin) read(t *testing.T, typ archive.Type, seq uint64, digest action.Digest) (archive.Header, []byte) {
	t.Helper()
	refs, err := o.folder.Find(t.Context(), archive.Query{DB: o.id, Writer: o.key.Writer(), Epoch: 1, First: seq, Last: seq, Type: typ})
	if err != nil || len(refs) != 1 {
		t.Fatalf("%s %d: found %d, %v, want one", typ, seq, len(refs), err)
	}
	raw, err := o.folder.Get(t.Context(), refs[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	record, err := archive.Open(raw)
	if err != nil {
		t.Fatal(err)
	}
	if record.Digest != digest || record.Header.Type != typ {
		t.Fatalf("%s %d: got %s of type %s, want %s", typ, seq, record.Digest, record.Header.Type, digest)
	}
	body, err := record.Body(nil)
	if err != nil {
		t.Fatal(err)
	}
	return record.Header, body
}

func (o *origin) manifest(t *testing.T, r checkpoint.Result) checkpoint.Manifest {
	t.Helper()
	h, body := o.read(t, archive.TypeCheckpoint, r.Number, r.Digest)
	m, err := checkpoint.ParseManifest(body)
	if err != nil {
		t.Fatal(err)
	}
	if h.From != m.LSN || h.To != m.LSN || m.LSN != r.LSN {
		t.Errorf("positions: got %s to %s in the header, %s in the manifest, want %s", h.From, h.To, m.LSN, r.LSN)
	}
	return m
}

// rows returns the lines of each file, sorted, and checks what the manifest says
// of its chunks.
func (o *origin) rows(t *testing.T, m checkpoint.Manifest) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, f := range m.Files {
		lines := []string{}
		for _, c := range f.Chunks {
			h, body := o.read(t, archive.TypeChunk, c.Seq, c.Digest)
			if got := int64(strings.Count(string(body), "\n")); got != c.Rows || int64(len(body)) != c.Size || h.Size != len(body) {
				t.Errorf("chunk %d: got %d rows in %d bytes, want %d in %d", c.Seq, got, len(body), c.Rows, c.Size)
			}
			if c.Size > 8<<20 && c.Rows > 1 {
				t.Errorf("chunk %d of %d rows has %d bytes", c.Seq, c.Rows, c.Size)
			}
			lines = append(lines, strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")...)
		}
		slices.Sort(lines)
		all[f.Table.String()] = lines
	}
	return all
}

// stateInSQL is the definition of a state, worked out by the server from lines.
func stateInSQL(t *testing.T, db *pgtest.DB, lines []string) string {
	t.Helper()
	return db.Value(t, `WITH row AS (SELECT sha256(convert_to(line, 'UTF8')) AS h FROM unnest($1::text[]) AS line),
		total AS (
			SELECT count(*) AS n, coalesce(mod(sum((SELECT sum(get_byte(h, i) * 256::numeric ^ (31 - i)) FROM generate_series(0, 31) i)), 2::numeric ^ 256), 0) AS s
			FROM row)
		SELECT n || ' ' || (SELECT string_agg(lpad(to_hex(mod(div(s, 256::numeric ^ (31 - i)), 256)::int), 2, '0'), '' ORDER BY i)
			FROM generate_series(0, 31) i) FROM total`, lines)
}

func stateOf(s checkpoint.TableState) string { return fmt.Sprint(s.Rows, " ", s.Sum) }

// copied are the lines that COPY writes of a query, sorted.
func copied(t *testing.T, q *pgx.Conn, query string) []string {
	t.Helper()
	var text strings.Builder
	if _, err := q.PgConn().CopyTo(t.Context(), &text, "COPY ("+query+") TO STDOUT"); err != nil {
		t.Fatal(err)
	}
	if text.Len() == 0 {
		return []string{}
	}
	lines := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	slices.Sort(lines)
	return lines
}

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
	if got := fmt.Sprint(m.Roles); got != "["+role+"]" {
		t.Errorf("roles: got %s, want %s", got, role)
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
		INSERT INTO big SELECT i, repeat('x', 900) || i FROM generate_series(1, 20000) i;
		CREATE TABLE small (id int PRIMARY KEY, v text); INSERT INTO small VALUES (1, 'one');`)
	o := newOrigin(t, db)
	first := o.create(t)
	chunks, others := o.folder.puts()
	if chunks != first.Fresh || chunks != first.Chunks || others != 1 || first.Bytes != first.Sent {
		t.Errorf("first: %d chunks and %d others were put, got %+v", chunks, others, first)
	}
	if first.Chunks < 7 { // schema twice, small, and at least four spans of big
		t.Errorf("first: got %d chunks, want 7 or more", first.Chunks)
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
	db.Exec(t, `UPDATE big SET v = 'changed' WHERE id = 7000`)
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
