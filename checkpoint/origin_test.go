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
	"github.com/pgbridge/pgbridge/postgres"
	"github.com/pgbridge/pgbridge/publisher"
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
	return newOriginAt(t, db, db.URL())
}

// newOriginAt is newOrigin for the role in url.
func newOriginAt(t *testing.T, db *pgtest.DB, url string) *origin {
	t.Helper()
	ctx := t.Context()
	key, err := archive.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	replication, err := postgres.ReplicationConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	dump, err := postgres.FindDump(ctx, db.Cluster.Major())
	if err != nil {
		t.Fatal(err)
	}
	connect := func(ctx context.Context) (*pgx.Conn, error) { return postgres.Connect(ctx, url) }
	conn, err := connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tables, err := postgres.Tables(ctx, conn)
	if err != nil {
		t.Fatal(err)
	}
	in := publisher.Init{Connect: connect, Replication: replication, URL: url, Dump: dump, Name: "test", Tables: tables, Key: key}
	id, err := in.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{db: db, id: id, key: key, folder: &counting{Folder: &archive.Folder{Dir: t.TempDir()}}}
	o.maker = checkpoint.Maker{
		Connect: connect, Replication: replication, URL: url, Dump: dump, Key: key,
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
	before func(n int) error // of the n-th Put, from 1; may be nil
	after  func(n int) error
	serial bool // one at a time

	checkpoint error // of every Put of a checkpoint
	order      sync.Mutex
}

func (c *counting) Put(ctx context.Context, raw []byte) (archive.Receipt, error) {
	item, err := archive.ParseItem(raw)
	if err != nil {
		return archive.Receipt{}, err
	}
	if c.serial {
		c.order.Lock()
		defer c.order.Unlock()
		if ctx.Err() != nil {
			return archive.Receipt{}, ctx.Err()
		}
	}
	c.mu.Lock()
	if slices.Contains(item.Tags, archive.Tag{Name: "Type", Value: "chunk"}) {
		c.chunks++
	} else {
		c.others++
		if c.checkpoint != nil {
			c.mu.Unlock()
			return archive.Receipt{}, c.checkpoint
		}
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
			if c.Size > 16<<20 && c.Rows > 1 {
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
