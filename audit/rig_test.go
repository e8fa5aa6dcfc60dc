package audit

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/internal/pgtest"
	"github.com/pgbridge/pgbridge/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// writer makes the chain of a database with one table, by hand.
type writer struct {
	t      testing.TB
	key    archive.Key
	db     action.Digest
	header archive.Header // of the latest record
	items  []archive.Item // by number: the genesis is the first
	clock  int64
}

var post = action.Name{Schema: "public", Name: "post"}

func newWriter(t testing.TB) *writer {
	t.Helper()
	w := &writer{t: t, key: archive.KeyFromSeed(sha256.Sum256([]byte("writer"))), clock: 1_700_000_000_000_000}
	g := postgres.NewGenesis("board", w.key.Writer(), postgres.Server{Text: "15"}, nil, []postgres.Table{{
		Name: post, Columns: []postgres.Column{{Name: "id", Type: "integer"}, {Name: "title", Type: "text"}},
		PrimaryKey: []string{"id"}, Identity: postgres.IdentityDefault, Key: []string{"id"},
	}}, "CREATE TABLE public.post (id integer, title text);", "")
	body, err := g.Encode()
	if err != nil {
		t.Fatal(err)
	}
	w.header = archive.Header{Type: archive.TypeGenesis, Epoch: 1, Seq: 1, System: 7, Timeline: 1, Schema: g.SchemaDigest()}
	record := w.seal(w.header, body)
	w.db, w.header.DB, w.header.Prev = record.Digest, record.Digest, record.Digest
	w.items = append(w.items, w.wrap(&record))
	return w
}

func (w *writer) seal(h archive.Header, body []byte) archive.Record {
	w.t.Helper()
	record, err := archive.Seal(w.key, h, body)
	if err != nil {
		w.t.Fatal(err)
	}
	return record
}

func (w *writer) wrap(r *archive.Record) archive.Item {
	w.t.Helper()
	item, err := archive.Wrap(archive.KeyWallet(w.key), r, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return item
}

// line is one transaction of a body.
type line struct {
	part  int
	more  bool
	copy  bool
	xid   uint32 // 7 if zero
	write func(*action.Body)
}

// body writes lines. Transactions are a second apart, and 16 bytes of WAL.
func (w *writer) body(lines ...line) []byte {
	var b action.Body
	for _, l := range lines {
		if l.part < 2 {
			w.clock += 1_000_000
			w.header.To += 16
		}
		b.Begin(action.Tx{LSN: w.header.To, XID: cmp.Or(l.xid, 7), At: w.clock, Clock: action.Clock{Micros: w.clock}, Part: max(l.part, 1), Copy: l.copy})
		if l.write != nil {
			l.write(&b)
		}
		if l.more {
			b.EndPart()
			continue
		}
		b.End()
	}
	return b.Bytes()
}

// next adds a record to the chain.
func (w *writer) next(lines ...line) archive.Item {
	w.t.Helper()
	h := w.header
	body := w.body(lines...)
	h.Type, h.Seq, h.Txs, h.From, h.To = archive.TypeActions, h.Seq+1, len(lines), h.To, w.header.To
	record := w.seal(h, body)
	w.header, w.header.Prev = h, record.Digest
	item := w.wrap(&record)
	w.items = append(w.items, item)
	return item
}

// row is a line that does one thing to one row of post.
func row(op action.Op, key, set []string, values ...string) line {
	return rowOf(post, op, key, set, values...)
}

// texts are values as they are in a row; NULL is none.
func texts(values []string) (row [][]byte) {
	for _, v := range values {
		if v == "NULL" {
			row = append(row, nil)
			continue
		}
		row = append(row, []byte(v))
	}
	return row
}

// rowOf is a line that does one thing to one row of a table.
func rowOf(table action.Name, op action.Op, key, set []string, values ...string) line {
	return line{write: func(b *action.Body) {
		b.Row(action.NewShape(op, table, key, set), texts(values))
	}}
}

func insert(id, title string) line {
	return row(action.Insert, nil, []string{"id", "title"}, id, title)
}

func update(id, title string) line {
	return row(action.Update, []string{"id"}, []string{"title"}, id, title)
}

func remove(id string) line { return row(action.Delete, []string{"id"}, nil, id) }

// folder is an archive with these items.
func folder(t testing.TB, items ...archive.Item) Archive {
	t.Helper()
	f := &archive.Folder{Dir: t.TempDir()}
	a := Archive{Finder: f, Putter: f}
	for _, item := range items { // as Put does, but for the syncs
		if err := errors.Join(os.MkdirAll(filepath.Dir(a.file(item)), 0o755), os.WriteFile(a.file(item), item.Bytes, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func (a *Archive) file(item archive.Item) string {
	return filepath.Join(a.Finder.(*archive.Folder).Dir, archive.Path(&item))
}

// drop removes an item.
func (a *Archive) drop(t *testing.T, item archive.Item) {
	t.Helper()
	if err := os.Remove(a.file(item)); err != nil {
		t.Fatal(err)
	}
}

// spoil writes something else into the file of an item.
func (a *Archive) spoil(t *testing.T, item archive.Item, change func([]byte) []byte) {
	t.Helper()
	raw, err := os.ReadFile(a.file(item))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file(item), change(raw), 0o644); err != nil {
		t.Fatal(err)
	}
}

func flip(raw []byte) []byte {
	raw[len(raw)-1] ^= 1
	return raw
}

func half(raw []byte) []byte { return raw[:len(raw)/2] }

// verify runs Verify over archives.
func (w *writer) verify(t *testing.T, archives ...Archive) *Report {
	t.Helper()
	r, err := (&Verify{Archives: archives, DB: w.db}).Run(t.Context())
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return r
}
