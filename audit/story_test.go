package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/sql"
)

// chain yields what was written.
func (w *writer) chain(context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for _, item := range w.items[1:] {
			record, err := archive.Open(item.Data)
			if err != nil {
				w.t.Fatal(err)
			}
			body, err := record.Body(nil)
			if err != nil {
				w.t.Fatal(err)
			}
			if !yield(Entry{record.Header, body}, nil) {
				return
			}
		}
	}
}

func (w *writer) genesis() *sql.Genesis {
	record, err := archive.Open(w.items[0].Data)
	if err != nil {
		w.t.Fatal(err)
	}
	g, err := openGenesis(&record)
	if err != nil {
		w.t.Fatal(err)
	}
	return &g
}

func text(s *string) string {
	if s == nil {
		return "NULL"
	}
	return *s
}

// changed is columns as text.
func changed(columns []Column) string {
	var all []string
	for _, c := range columns {
		one := c.Name + "="
		if c.Had {
			one += text(c.Old)
		}
		one += ">"
		if c.Has {
			one += text(c.New)
		}
		all = append(all, one)
	}
	return strings.Join(all, " ")
}

func call(name string, value string, effect line) line {
	return line{write: func(b *action.Body) {
		b.Call(action.NewCall(action.Name{Schema: "app", Name: name}, []string{"it"}), [][]byte{[]byte(value)})
		effect.write(b)
		b.EndCall()
	}}
}

func truncate() line {
	return line{write: func(b *action.Body) { b.Truncate(action.NewTruncate(post, false, false)) }}
}

func statement(text string) line {
	return line{write: func(b *action.Body) { b.Row(action.NewSchema(), [][]byte{[]byte(text), []byte("{}")}) }}
}

func rename(from, to, title string) line {
	return row(action.Update, []string{"id"}, []string{"id", "title"}, from, to, title)
}

func TestHistory(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	initial := insert("1", "first")
	initial.copy = true
	w.next(initial)
	w.next(call("write", "7", insert("2", "two")), update("1", "changed"), insert("3", "three"))
	w.next(update("2", "NULL"), statement("ALTER TABLE post ADD n int"), update("2", "deux"))
	w.next(rename("2", "20", "deux"), remove("1"), insert("2", "another"))
	w.next(update("20", "twenty"), rename("20", "21", "twenty"), truncate(), insert("21", "anew"), insert("1", "again"))
	for _, test := range []struct {
		name string
		key  string
		want []string
	}{
		{"followed to another key", "2", []string{
			"2:0 insert id=2 app.write(it=7) id=>2 title=>two",
			"3:0 update id=2 title=two>NULL", // record 2 is the copy
			"3:1 schema",
			"3:2 update id=2 title=>deux",
			"4:0 update id=2 id=2>20",
			"4:2 insert id=2 id=>2 title=>another",
			"5:0 update id=20 title=deux>twenty",
			"5:1 update id=20 id=20>21",
			"5:2 truncate id=2",
		}},
		{"found by its last key", "21", []string{
			"2:0 insert id=2 app.write(it=7) id=>2 title=>two",
			"3:0 update id=2 title=two>NULL",
			"3:1 schema",
			"3:2 update id=2 title=>deux",
			"4:0 update id=2 id=2>20",
			"5:0 update id=20 title=deux>twenty",
			"5:1 update id=20 id=20>21",
			"5:2 truncate id=21",
			"5:3 insert id=21 id=>21 title=>anew",
		}},
		{"from the beginning", "1", []string{
			"1:0 copy insert id=1 id=>1 title=>first",
			"2:1 update id=1 title=first>changed",
			"3:1 schema",
			"4:1 delete id=1 id=1>",
			"5:4 insert id=1 id=>1 title=>again",
		}},
		{"nobody", "99", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := History{Chain: w.chain, Genesis: w.genesis(), Table: post, Key: []Value{{"id", &test.key}}}
			var got []string
			err := h.Run(t.Context(), func(e *Event) error {
				line := fmt.Sprintf("%d:%d", e.Seq-1, e.Tx)
				if e.Copied {
					line += " copy"
				}
				line += " " + e.Operation
				for _, v := range e.Key {
					line += " " + v.Name + "=" + text(v.Text)
				}
				if e.Action != "" {
					line += fmt.Sprintf(" %s(%s=%s)", e.Action, e.Params[0].Name, text(e.Params[0].Text))
				}
				if len(e.Columns) > 0 {
					line += " " + changed(e.Columns)
				}
				got = append(got, line)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

func TestHistoryWantsTheKey(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	seven := "7"
	for _, key := range [][]Value{nil, {{"title", &seven}}, {{"id", &seven}, {"title", &seven}}} {
		h := History{Chain: w.chain, Genesis: w.genesis(), Table: post, Key: key}
		if err := h.Run(t.Context(), func(*Event) error { return nil }); err == nil || !strings.Contains(err.Error(), "key") {
			t.Errorf("key %v: got %v, want an error that names the key", key, err)
		}
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	begin := time.UnixMicro(w.clock) // a line a second
	w.next(insert("1", "one"), insert("2", "two"), insert("3", "three"))
	w.next(update("1", "uno"), update("2", "x"), update("2", "two"), insert("4", "four"), remove("4")) // from 4
	w.next(remove("3"), insert("5", "five"), rename("1", "6", "six"))                                  // from 9
	w.next(statement("ALTER TABLE post ADD n int"), truncate(), insert("2", "two"), insert("9", "nine"))
	for _, test := range []struct {
		name     string
		from, to Moment
		want     []string
	}{
		{"nothing", Moment{Time: begin.Add(3 * time.Second)}, Moment{Time: begin.Add(3 * time.Second)}, nil},
		{"by time", Moment{Time: begin.Add(3 * time.Second)}, Moment{Time: begin.Add(8 * time.Second)}, []string{"updated id=1 title=one>uno"}},
		{"from the beginning", Moment{Time: begin}, Moment{Epoch: 1, Seq: 2, Tx: 0}, []string{"inserted id=1 id=>1 title=>one"}},
		{"by record", Moment{Epoch: 1, Seq: 2, Tx: -1}, Moment{Epoch: 1, Seq: 4, Tx: -1}, []string{
			"deleted id=1 id=1> title=one>", "deleted id=3 id=3> title=three>", "inserted id=5 id=>5 title=>five", "inserted id=6 id=>6 title=>six",
		}},
		{"by transaction", Moment{Epoch: 1, Seq: 3, Tx: 1}, Moment{Epoch: 1, Seq: 3, Tx: 3}, []string{"inserted id=4 id=>4 title=>four", "updated id=2 title=x>two"}},
		{"by position", Moment{Before: 16 * 4}, Moment{Before: 16*4 + 1}, []string{"updated id=1 title=one>uno"}},
		{"a truncate", Moment{Epoch: 1, Seq: 4, Tx: -1}, Moment{}, []string{
			"deleted id=5 id=5> title=five>", "deleted id=6 id=6> title=six>", "inserted id=9 id=>9 title=>nine",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := Diff{Chain: w.chain, Genesis: w.genesis(), From: test.from, To: test.to}
			changes, err := d.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range changes.Rows {
				line := r.Operation
				for _, v := range r.Key {
					line += " " + v.Name + "=" + text(v.Text)
				}
				got = append(got, line+" "+changed(r.Columns))
			}
			slices.Sort(got)
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
	d := Diff{Chain: w.chain, Genesis: w.genesis(), From: Moment{Epoch: 1, Seq: 4, Tx: -1}, To: Moment{Epoch: 1, Seq: 2, Tx: -1}}
	if _, err := d.Run(t.Context()); !errors.Is(err, ErrOrder) {
		t.Errorf("the wrong way round: got %v, want ErrOrder", err)
	}
}

// What a row was under another key is known, though no record says it again.
func TestDiffAfterAnotherKey(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	key := func(from, to string) line { return row(action.Update, []string{"id"}, []string{"id"}, from, to) }
	w.next(insert("1", "one"), key("1", "2"), key("2", "3"))
	w.next(update("3", "drei"), key("3", "4"))
	for _, test := range []struct {
		to   Moment
		want []string
	}{
		{Moment{Epoch: 1, Seq: 3, Tx: 0}, []string{"updated title=one>drei"}},
		{Moment{}, []string{"deleted id=3> title=one>", "inserted id=>4 title=>drei"}},
	} {
		d := Diff{Chain: w.chain, Genesis: w.genesis(), From: Moment{Epoch: 1, Seq: 2, Tx: -1}, To: test.to}
		changes, err := d.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range changes.Rows {
			got = append(got, r.Operation+" "+changed(r.Columns))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// Rows of a table that has no key are told apart by their values.
func TestDiffWithoutKey(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	loose := action.Name{Schema: "public", Name: "loose"}
	write := func(op action.Op, key, set []string, values ...string) line { return rowOf(loose, op, key, set, values...) }
	both := []string{"a", "b"}
	g := w.genesis()
	g.Tables = append(g.Tables, sql.GenesisTable{Name: loose, Identity: sql.IdentityFull, Key: []string{}})
	w.next(write(action.Insert, nil, both, "1", "x"), write(action.Insert, nil, both, "1", "x"), write(action.Insert, nil, both, "2", "y"))
	w.next(write(action.Delete, both, nil, "1", "x"), write(action.Update, both, []string{"b"}, "2", "y", "z"),
		write(action.Insert, nil, both, "3", "q"), write(action.Insert, nil, both, "3", "q"))
	d := Diff{Chain: w.chain, Genesis: g, From: Moment{Epoch: 1, Seq: 2, Tx: -1}}
	changes, err := d.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range changes.Rows {
		got = append(got, fmt.Sprintf("%s %d %s", r.Operation, r.Times, changed(r.Columns)))
	}
	slices.Sort(got)
	want := []string{"deleted 0 a=1> b=x>", "deleted 0 a=2> b=y>", "inserted 0 a=>2 b=>z", "inserted 2 a=>3 b=>q"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
