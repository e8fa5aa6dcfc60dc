package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/jackc/pgx/v5"
)

// everyByte holds what COPY escapes, and what it does not.
const everyByte = `CREATE TABLE "My t" (id int, txt text, gone int, raw bytea, made text GENERATED ALWAYS AS (txt || '!') STORED, "Col ""2" text);
	ALTER TABLE "My t" DROP COLUMN gone;
	INSERT INTO "My t" (id, txt, raw, "Col ""2") SELECT c, repeat(chr(c), 2) || '\N\.é' || chr(c), decode(lpad(to_hex(c), 2, '0'), 'hex'), CASE WHEN c % 2 = 0 THEN '' END FROM generate_series(1, 255) c;
	INSERT INTO "My t" (id, txt) VALUES (1000, '\N'), (1001, '\.'), (1002, E'\\'), (1003, E'\t'), (1004, E'a\r\n'), (1005, repeat(E'x\\\n', 300000)), (1006, NULL)`

// What COPY gives is the text that a query gives.
func TestRowsAreTheServersText(t *testing.T) {
	_, conn := newDatabase(t)
	mustExec(t, conn, "SET search_path = public; "+everyByte+"; SET search_path = ''")
	table := oneTable(t, conn)
	want := map[string][]*string{}
	rows, err := conn.Query(t.Context(), `SELECT id::text, txt, raw::text, "Col ""2" FROM public."My t"`)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		row := make([]*string, 4)
		if err := rows.Scan(&row[0], &row[1], &row[2], &row[3]); err != nil {
			t.Fatal(err)
		}
		want[*row[0]] = row
	}
	if rows.Err() != nil || len(want) != 262 {
		t.Fatalf("got %d rows, %v, want 262", len(want), rows.Err())
	}

	tx := begin(t, conn)
	got := map[string][]*string{}
	for values, err := range Rows(t.Context(), tx, table) {
		if err != nil {
			t.Fatal(err)
		}
		got[string(values[0])] = texts(values)
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("Rows differ from the rows of the query")
	}

	var whole bytes.Buffer
	n, err := CopyRows(t.Context(), tx, table, &whole)
	if err != nil || n != 262 {
		t.Errorf("CopyRows: got %d, %v, want 262 rows", n, err)
	}
	got = map[string][]*string{}
	r := NewCopyReader(iotest.DataErrReader(bytes.NewReader(whole.Bytes())), 4)
	var again []byte
	for r.Next() {
		got[string(r.Values()[0])] = texts(r.Values())
		again = AppendCopyRow(again, r.Values())
	}
	if r.Err() != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("CopyReader (%v) differs from the rows of the query", r.Err())
	}
	if !bytes.Equal(again, whole.Bytes()) {
		t.Error("AppendCopyRow does not write what the server wrote")
	}
}

func texts(values [][]byte) []*string {
	row := make([]*string, len(values))
	for i, v := range values {
		if v != nil {
			s := string(v)
			row[i] = &s
		}
	}
	return row
}

func oneTable(t *testing.T, conn Querier) Table {
	t.Helper()
	tables, err := Tables(t.Context(), conn)
	if err != nil || len(tables) != 1 {
		t.Fatalf("got %d tables, %v, want 1", len(tables), err)
	}
	return tables[0]
}

func begin(t *testing.T, conn *pgx.Conn) pgx.Tx {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Rollback(context.Background()) })
	return tx
}

func TestRowsOfEachKindOfTable(t *testing.T) {
	_, conn := newDatabase(t)
	mustExec(t, conn, `SET search_path = public;
		CREATE TABLE parent (x int); CREATE TABLE child () INHERITS (parent); INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2);
		CREATE TABLE parted (x int) PARTITION BY LIST (x); CREATE TABLE one PARTITION OF parted FOR VALUES IN (1); CREATE TABLE rest PARTITION OF parted DEFAULT;
		INSERT INTO parted VALUES (1), (2);
		CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES; SET search_path = ''`)
	tables, err := Tables(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	tx := begin(t, conn)
	for _, table := range tables {
		var rows []string
		for values, err := range Rows(t.Context(), tx, table) {
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, fmt.Sprintf("%q", values))
		}
		slices.Sort(rows)
		got[table.Name.Name] = strings.Join(rows, " ")
	}
	want := map[string]string{"parent": `["1"]`, "child": `["2"]`, "parted": `["1"] ["2"]`, "nothing": `[] []`}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRowsBreaksOff(t *testing.T) {
	db, conn := newDatabase(t)
	mustExec(t, conn, "CREATE TABLE public.t AS SELECT generate_series(1, 100000) AS x")
	table := oneTable(t, conn)
	count := 0
	for _, err := range Rows(t.Context(), begin(t, conn), table) {
		if err != nil {
			t.Fatal(err)
		}
		if count++; count == 3 {
			break
		}
	}
	if count != 3 || !conn.PgConn().IsClosed() {
		t.Errorf("%d rows, closed %v, want 3 rows and a closed connection", count, conn.PgConn().IsClosed())
	}

	other := connect(t, db.URL())
	table.Name.Name = "missing"
	tx := begin(t, other)
	for _, err := range Rows(t.Context(), tx, table) {
		if err == nil || !strings.Contains(err.Error(), "copy rows of public.missing") {
			t.Errorf("got %v, want an error that names the table", err)
		}
	}
}

func TestBeginSnapshot(t *testing.T) {
	db, conn := newDatabase(t)
	mustExec(t, conn, "CREATE TABLE public.t AS SELECT 1 AS x")
	exporter, err := conn.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	snapshot := queryText(t, exporter, "SELECT pg_export_snapshot()")
	reader := connect(t, db.URL())
	mustExec(t, reader, "INSERT INTO public.t VALUES (2)")
	table := oneTable(t, reader)
	tx, err := BeginSnapshot(t.Context(), reader, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	if err := exporter.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := CopyRows(t.Context(), tx, table, io.Discard); err != nil || n != 1 {
		t.Errorf("under the snapshot: got %d rows, %v, want 1", n, err)
	}
	if _, err := tx.Exec(t.Context(), "DELETE FROM public.t"); err == nil {
		t.Error("wrote in a transaction for reading")
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{snapshot: "import snapshot " + snapshot, "'; DROP TABLE t": "is not the name of one"} {
		if _, err := BeginSnapshot(t.Context(), reader, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("snapshot %s: got %v, want an error with %q", name, err, want)
		}
	}
	if status := reader.PgConn().TxStatus(); status != 'I' {
		t.Errorf("after the failure the connection is in state %c, want idle", status)
	}
}

// A table that turned into a view after it was listed must not be read, where
// the server can tell.
func TestCopyRefusesAView(t *testing.T) {
	db, conn := newDatabase(t)
	mustExec(t, conn, "CREATE TABLE public.t (x int)")
	table := oneTable(t, conn)
	mustExec(t, conn, "DROP TABLE public.t; CREATE VIEW public.t AS SELECT 1 AS x")
	exporter := begin(t, connect(t, db.URL()))
	tx, err := BeginSnapshot(t.Context(), conn, queryText(t, exporter, "SELECT pg_export_snapshot()"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = CopyRows(t.Context(), tx, table, io.Discard)
	known := queryText(t, connect(t, db.URL()), "SELECT count(*)::text FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'") == "1"
	if known && err == nil {
		t.Error("rows of a view were copied, want an error")
	}
}

func TestCopyReaderErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name, text, want string
		columns          int
	}{
		{"too few", "a\n", "not the 2 values", 2},
		{"too many", "a\tb\tc\n", "not the 2 values", 2},
		{"not closed", "a\tb\nc\td", "row 2: unexpected EOF", 2},
		{"unknown escape", "a\t\\x41\n", `value 2: \x is not`, 2},
		{"the end mark of files", "\\.\n", `\. is not`, 1},
		{"NULL within a value", "\\Nx\n", `\N is not`, 1},
		{"backslash at the end", "\\\n", "ends in a backslash", 1},
		{"value without columns", "a\n", "no columns", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := NewCopyReader(strings.NewReader(tt.text), tt.columns)
			for r.Next() {
			}
			if err := r.Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if r.Next() {
				t.Error("Next after an error is true")
			}
		})
	}
	r := NewCopyReader(io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(broken)), 1)
	if !r.Next() || r.Next() || !errors.Is(r.Err(), broken) {
		t.Errorf("reader that breaks: got %v, want the row and then its error", r.Err())
	}
	r = NewCopyReader(stuck{}, 1)
	if r.Next() || !errors.Is(r.Err(), io.ErrNoProgress) {
		t.Errorf("reader that gives nothing: got %v, want io.ErrNoProgress", r.Err())
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// readCopySlowly reads the format in the plainest way.
func readCopySlowly(text string, columns int) (rows [][]*string, ok bool) {
	escapes := map[string]string{`\b`: "\b", `\f`: "\f", `\n`: "\n", `\r`: "\r", `\t`: "\t", `\v`: "\v", `\\`: `\`}
	lines := strings.Split(text, "\n")
	if lines[len(lines)-1] != "" {
		return nil, false
	}
	for _, line := range lines[:len(lines)-1] {
		row := []*string{}
		fields := strings.Split(line, "\t")
		if columns == 0 && line == "" {
			fields = nil
		}
		for _, field := range fields {
			if field == `\N` {
				row = append(row, nil)
				continue
			}
			value := ""
			for field != "" {
				if field[0] != '\\' {
					value, field = value+field[:1], field[1:]
					continue
				}
				if len(field) < 2 || escapes[field[:2]] == "" {
					return nil, false
				}
				value, field = value+escapes[field[:2]], field[2:]
			}
			row = append(row, &value)
		}
		if len(row) != columns {
			return nil, false
		}
		rows = append(rows, row)
	}
	return rows, true
}

// The reader agrees with the plain one, however the bytes arrive, and what it
// accepts is written back as it was, but for bytes that the server would escape.
func FuzzCopyReader(f *testing.F) {
	f.Add([]byte("a\t\\N\n\\\\N\\t\t\n"), uint8(2))
	f.Add([]byte("\n\n"), uint8(0))
	f.Add([]byte("\n\n"), uint8(1))
	f.Add([]byte("\\.\n"), uint8(1))
	f.Fuzz(func(t *testing.T, text []byte, count uint8) {
		columns := int(count % 8)
		want, ok := readCopySlowly(string(text), columns)
		for name, source := range map[string]io.Reader{
			"at once": bytes.NewReader(text), "one by one": iotest.OneByteReader(bytes.NewReader(text)), "with its end": iotest.DataErrReader(bytes.NewReader(text)),
		} {
			r := NewCopyReader(source, columns)
			r.buf = r.buf[:1:1] // so that it grows and moves
			var got [][]*string
			var again []byte
			for r.Next() {
				got = append(got, texts(r.Values()))
				again = AppendCopyRow(again, r.Values())
			}
			if accepted := r.Err() == nil; accepted != ok {
				t.Fatalf("%s: accepted %v (%v), want %v", name, accepted, r.Err(), ok)
			}
			if !ok {
				continue
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: got %v, want %v", name, got, want)
			}
			if !bytes.ContainsAny(text, "\b\f\r\v") && !bytes.Equal(again, text) {
				t.Fatalf("%s: written back as %q, want %q", name, again, text)
			}
		}
	})
}

// Any values survive writing and reading.
func FuzzCopyValues(f *testing.F) {
	f.Add([]byte("a\\N\t\n"), []byte(nil), []byte{})
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		want := [][]byte{a, nil, b, c}
		r := NewCopyReader(bytes.NewReader(AppendCopyRow(nil, want)), 4)
		if !r.Next() {
			t.Fatal(r.Err())
		}
		for i, got := range r.Values() {
			if !bytes.Equal(got, want[i]) || (got == nil) != (want[i] == nil) {
				t.Errorf("value %d: got %q, want %q", i, got, want[i])
			}
		}
		if r.Next() || r.Err() != nil {
			t.Errorf("after the row: %v, want the end", r.Err())
		}
	})
}

func BenchmarkCopyReader(b *testing.B) {
	var text []byte
	for i := range 1000 {
		text = AppendCopyRow(text, [][]byte{fmt.Append(nil, i), []byte("some words of a title"), nil, []byte("two\nlines"), []byte("2025-06-05 10:00:00.123456+00")})
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r := NewCopyReader(bytes.NewReader(text), 5)
		for r.Next() {
		}
		if r.Err() != nil {
			b.Fatal(r.Err())
		}
	}
}
