package audit

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/internal/pgtest"
	"github.com/pgbridge/pgbridge/postgres"
)

// live is the database that holds what is compared.
type live struct{ db *pgtest.DB }

// compare compares what a script makes, which is then gone again.
func (l live) compare(t *testing.T, script string, c Compare) (*Comparison, error) {
	t.Helper()
	conn, err := postgres.Connect(t.Context(), l.db.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	if _, err := tx.Exec(t.Context(), "SET LOCAL search_path = public; "+script+"; SET LOCAL search_path = ''", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	c.Tx = tx
	return c.Run(t.Context())
}

// listed are differences as lines, in order.
func listed(c *Comparison) (lines []string) {
	for _, d := range c.Differences {
		line := d.Kind + " " + d.Table
		for _, v := range d.Key {
			line += " " + v.Name + "=" + text(v.Text)
		}
		if len(d.Columns) > 0 {
			line += " " + changed(d.Columns)
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// posts makes the table post with rows: id and title in turn.
func posts(rows ...string) string {
	script := "CREATE TABLE post (id int PRIMARY KEY, title text);"
	for i := 0; i < len(rows); i += 2 {
		script += fmt.Sprintf("INSERT INTO post VALUES (%s, '%s');", rows[i], rows[i+1])
	}
	return script
}

// Which transactions a database must hold, to both ends of each range.
func TestCompareHeld(t *testing.T) {
	t.Parallel()
	l := live{pgtest.New(t)}
	w := newWriter(t)
	w.next(line{copy: true, write: insert("1", "one").write})         // record 2, at 16
	w.next(insert("2", "two"), update("1", "uno"), remove("2"))       // record 3, at 32, 48, 64
	w.next(insert("3", "three"))                                      // record 4, at 80
	first, second := posts("1", "one"), posts("1", "one", "2", "two") // after record 2; after the first of record 3
	third, fourth := posts("1", "uno", "2", "two"), posts("1", "uno") // after the second, and after all of it
	end := posts("1", "uno", "3", "three")                            // of the chain
	states := map[string]string{"first": first, "second": second, "third": third, "fourth": fourth, "end": end}
	for _, test := range []struct {
		name  string
		held  Held
		state string
		last  string
	}{
		{"before a record", Held{Seq: 2, Whole: true}, "first", "2:0"},
		{"none of a record", Held{Seq: 3}, "first", "2:0"},
		{"one of a record", Held{Seq: 3, Txs: 1}, "second", "3:0"},
		{"two of a record", Held{Seq: 3, Txs: 2}, "third", "3:1"},
		{"three of a record", Held{Seq: 3, Txs: 3}, "fourth", "3:2"},
		{"a whole record", Held{Seq: 3, Whole: true}, "fourth", "3:2"},
		{"at a position", Held{Before: 48}, "second", "3:0"},
		{"behind a position", Held{Before: 49}, "third", "3:1"},
		{"a position that is further", Held{Before: 49, Seq: 3, Txs: 1}, "third", "3:1"},
		{"a record that is further", Held{Before: 49, Seq: 3, Whole: true}, "fourth", "3:2"},
		{"everything", Held{Seq: 4, Whole: true}, "end", "4:0"},
	} {
		for name, script := range states {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				c, err := l.compare(t, script, Compare{Held: test.held, Genesis: w.genesis(), Chain: w.chain})
				if err != nil {
					t.Fatal(err)
				}
				if equal := c.Found == 0; equal != (name == test.state) {
					t.Errorf("got %q, want that only %s is equal", listed(c), test.state)
				}
				if got := fmt.Sprintf("%d:%d", c.Last.Seq, c.Last.Tx); got != test.last || c.Reached != 4 || c.Tables != 1 {
					t.Errorf("got last %s, read up to %d, %d tables, want %s, 4, 1", got, c.Reached, c.Tables, test.last)
				}
			})
		}
	}
}

// partitioned is the other table of a manifest made by hand, with its rows.
const partitioned = `CREATE TABLE part (id int PRIMARY KEY) PARTITION BY RANGE (id);
	CREATE TABLE part_0 PARTITION OF part FOR VALUES FROM (0) TO (10); CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (10) TO (20);
	INSERT INTO part VALUES (0), (1), (10), (11);`

// A comparison that begins with a checkpoint, and goes on with what came after it.
func TestCompareFromCheckpoint(t *testing.T) {
	t.Parallel()
	l := live{pgtest.New(t)}
	for _, test := range []struct {
		name   string
		script string
		after  []line // what the chain has after the checkpoint, from its position on
		change func(*checkpoint.Manifest)
		most   int
		found  int64 // if it is not the number of differences
		want   []string
		partly []string // tables whose columns were changed
		rows   int64    // 0: not looked at
		fails  string
	}{
		{name: "at rest", script: posts("1", "one", "2", "two") + partitioned, rows: 6},
		{
			name: "at rest, and changed", script: posts("1", "eins", "2", "two") + partitioned,
			want: []string{"differs public.post id=1 title=one>eins"}, rows: 6,
		},
		{
			name: "one row of a partition less, and one more", script: posts("1", "one", "2", "two") + partitioned + "UPDATE part SET id = 12 WHERE id = 11",
			want: []string{"extra public.part id=12", "missing public.part id=11"}, rows: 6,
		},
		{name: "gone on", script: posts("1", "uno", "2", "two") + partitioned, after: []line{update("1", "uno")}, rows: 6},
		{
			name: "not gone on", script: posts("1", "one", "2", "two") + partitioned, after: []line{update("1", "uno")},
			want: []string{"differs public.post id=1 title=uno>one"},
		},
		{name: "emptied", script: posts("3", "three") + partitioned, after: []line{truncate(), insert("3", "three")}, rows: 5},
		{name: "no more listed than asked for", most: 1, found: 2, want: []string{"table public.part"}},
		{name: "a table gone", script: posts("1", "one", "2", "two"), want: []string{"table public.part"}, rows: 2},
		{name: "a table gone whose partitions nobody knows", script: posts("1", "one"), fails: "has rows of public.part_0"},
		{
			name: "a column gone", script: posts("1", "one", "2", "two") + partitioned + "ALTER TABLE post DROP title",
			want: []string{"column public.post title=>"},
		},
		{name: "a column more", script: posts("1", "one", "2", "two") + partitioned + "ALTER TABLE post ADD more int DEFAULT 7"},
		{
			name: "a table without a sum", script: posts("1", "one", "2", "two") + partitioned + "DELETE FROM part WHERE id = 0",
			change: func(m *checkpoint.Manifest) { m.State = m.State[1:] }, want: []string{"missing public.part id=0"},
		},
		{name: "an index more", script: posts("1", "one", "2", "two") + partitioned, after: []line{statement("CREATE INDEX ON post (title)")}, rows: 6},
		{
			name: "other columns, and another row", script: posts("1", "any", "3", "three") + partitioned + "ALTER TABLE post ADD n int DEFAULT 7",
			after: []line{statement("ALTER TABLE post ADD n int DEFAULT 7"), row(action.Insert, nil, []string{"id", "title", "n"}, "3", "three", "8")},
			want:  []string{"differs public.post id=3 n=8>7", "missing public.post id=2"}, partly: []string{"public.post"},
		},
		{
			name: "a column less, as the log says", script: posts("1", "one", "2", "two") + partitioned + "ALTER TABLE post DROP title",
			after: []line{statement("ALTER TABLE post DROP title")}, partly: []string{"public.post"}, rows: 6,
		},
		{
			name: "a table made since, with a key", script: posts("1", "one", "2", "two") + partitioned + "CREATE TABLE young (id int PRIMARY KEY, v text); INSERT INTO young VALUES (1, 'b'); ALTER TABLE young REPLICA IDENTITY FULL",
			after: []line{statement("CREATE TABLE young (id int PRIMARY KEY, v text)"), rowOf(action.Name{Schema: "public", Name: "young"}, action.Insert, nil, []string{"id", "v"}, "1", "a")},
			want:  []string{"differs public.young id=1 v=a>b"}, rows: 7,
		},
		{
			name: "a table made since, and gone", script: posts("1", "one", "2", "zwei") + partitioned,
			after: []line{statement("CREATE TABLE young (id int PRIMARY KEY)"), rowOf(action.Name{Schema: "public", Name: "young"}, action.Insert, nil, []string{"id"}, "1")},
			want:  []string{"differs public.post id=2 title=two>zwei", "table public.young"},
		},
		{
			name: "another table with partitions", script: posts("1", "one", "2", "two") + partitioned + "DELETE FROM part WHERE id = 0;" +
				"CREATE TABLE also (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE also_0 PARTITION OF also DEFAULT",
			change: func(m *checkpoint.Manifest) {
				m.Tables = append([]postgres.GenesisTable{{Name: action.Name{Schema: "public", Name: "also"}, Key: []string{"id"}}}, m.Tables...)
			},
			want: []string{"missing public.part id=0"},
		},
		{name: "other columns of a table that is gone", script: partitioned, after: []line{statement("ALTER TABLE post ADD n int")}, fails: "(ALTER TABLE)"},
		{
			name: "other columns, of its children too", script: posts("1", "one", "2", "two") + partitioned + "CREATE TABLE child () INHERITS (post)",
			after: []line{statement("ALTER TABLE post ADD n int DEFAULT 7")}, fails: "(ALTER TABLE)",
		},
		{
			name: "a table dropped", script: posts("1", "one", "2", "two") + partitioned,
			after: []line{statement("DROP TABLE other"), statement("ALTER TABLE part RENAME TO parts"), statement("DROP TABLE another")}, fails: "(ALTER TABLE, DROP TABLE)",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := &beside{writer: chainOf(t, 3)} // its changes are before the checkpoint, and not told again
			m := b.manifest("1\tone\n", "2\ttwo\n")
			m.LSN = b.header.To + 16
			if test.change != nil {
				test.change(m)
			}
			b.next(append(test.after, insert("1000", "of later"))...)
			held := Held{Seq: b.header.Seq, Txs: len(test.after)}
			base := &checkpoint.Checkpoint{Number: 5, Manifest: *m}
			library := &checkpoint.Library{Archive: &archive.Multi{Members: []archive.Finder{folder(t, b.chunks...).Finder}}, DB: b.db, Writer: b.key.Writer()}
			c, err := l.compare(t, test.script, Compare{Held: held, Base: base, Library: library, Genesis: b.genesis(), Chain: b.chain, Most: test.most})
			if test.fails != "" {
				if err == nil || !strings.Contains(err.Error(), test.fails) || strings.HasPrefix(test.fails, "(") != errors.Is(err, ErrSchema) {
					t.Errorf("got %v, want %q", err, test.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := listed(c); !slices.Equal(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
			if !slices.Equal(c.Partly, test.partly) {
				t.Errorf("compared in part: got %q, want %q", c.Partly, test.partly)
			}
			if want := max(test.found, int64(len(test.want))); c.Found != want || test.rows > 0 && c.Rows != test.rows || c.Checkpoint != 5 {
				t.Errorf("got %d differences, %d rows, from checkpoint %d, want %d, %d, 5", c.Found, c.Rows, c.Checkpoint, want, test.rows)
			}
		})
	}
}

// A sequence may be ahead of the log, in its own direction, and not behind it.
func TestCompareSequences(t *testing.T) {
	t.Parallel()
	l := live{pgtest.New(t)}
	raise := func(value string) line {
		return line{write: func(b *action.Body) {
			b.Row(action.NewSequences(), [][]byte{[]byte("public.s"), []byte(value)})
		}}
	}
	const up, down = "CREATE SEQUENCE s;", "CREATE SEQUENCE s INCREMENT -1 MAXVALUE 100 START 100;"
	at := func(value int64, called bool) *checkpoint.Checkpoint {
		return &checkpoint.Checkpoint{Manifest: checkpoint.Manifest{Sequences: []checkpoint.Sequence{{Name: action.Name{Schema: "public", Name: "s"}, Last: value, Called: called}}}}
	}
	for _, test := range []struct {
		name   string
		script string
		base   *checkpoint.Checkpoint
		raised string
		want   string // the value that is there, where it is behind
	}{
		{"where it was", up + "SELECT setval('s', 7)", at(7, true), "", ""},
		{"ahead", up + "SELECT setval('s', 8)", at(7, true), "", ""},
		{"behind", up + "SELECT setval('s', 6)", at(7, true), "", "6"},
		{"its last value is to come again", up + "SELECT setval('s', 7, false)", at(7, true), "", "7"},
		{"its last value was to come", up + "SELECT setval('s', 7)", at(7, false), "", ""},
		{"untouched", up, at(1, false), "", ""},
		{"not there", "", at(7, true), "", "NULL"},
		{"downwards, ahead", down + "SELECT setval('s', 6)", at(7, true), "", ""},
		{"downwards, behind", down + "SELECT setval('s', 8)", at(7, true), "", "8"},
		{"raised since", up + "SELECT setval('s', 7)", at(7, true), "9", "7"},
		{"raised since, and here", up + "SELECT setval('s', 9)", at(7, true), "9", ""},
		{"raised since, and its last value is to come again", up + "SELECT setval('s', 9, false)", at(7, true), "9", "9"},
		{"raised, from the genesis", up + "SELECT setval('s', 8)", nil, "9", "8"},
		{"raised later than it is compared", up + "SELECT setval('s', 7)", at(7, true), "later", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWriter(t)
			g := w.genesis()
			g.Tables = nil
			held := Held{Seq: 2, Whole: true}
			switch test.raised {
			case "":
			case "later":
				w.next(raise("9"))
				held = Held{Seq: 1, Whole: true}
			default:
				w.next(raise(test.raised))
			}
			c, err := l.compare(t, test.script, Compare{Held: held, Base: test.base, Genesis: g, Chain: w.chain})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, d := range c.Differences {
				got += text(d.Columns[0].New)
			}
			if got != test.want || int(c.Found) != len(c.Differences) {
				t.Errorf("got %q behind, want %q", got, test.want)
			}
		})
	}
}
