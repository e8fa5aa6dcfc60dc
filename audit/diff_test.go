package audit

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// changes are the rows of a difference as lines, in order.
func (d *Diff) changes(t *testing.T) (lines []string) {
	t.Helper()
	changes, err := d.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range changes.Rows {
		line := r.Operation
		for _, v := range r.Key {
			line += " " + v.Name + "=" + text(v.Text)
		}
		line += " " + changed(r.Columns)
		if r.Times > 0 {
			line += fmt.Sprint(" x", r.Times)
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// after is the moment after a transaction of the chain.
func (w *writer) after(epoch uint32, seq uint64, tx int) archive.Moment {
	return archive.Moment{Place: archive.Place{Writer: w.key.Writer(), Epoch: epoch, Seq: seq, Tx: tx}}
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
		from, to archive.Moment
		want     []string
	}{
		{"nothing", archive.Moment{Time: begin.Add(3 * time.Second)}, archive.Moment{Time: begin.Add(3 * time.Second)}, nil},
		{"by time", archive.Moment{Time: begin.Add(3 * time.Second)}, archive.Moment{Time: begin.Add(8 * time.Second)}, []string{"updated id=1 title=one>uno"}},
		{"from the beginning", archive.Moment{Time: begin}, w.after(1, 2, 0), []string{"inserted id=1 id=>1 title=>one"}},
		{"by record", w.after(1, 2, archive.WholeRecord), w.after(1, 4, archive.WholeRecord), []string{
			"deleted id=1 id=1> title=one>", "deleted id=3 id=3> title=three>", "inserted id=5 id=>5 title=>five", "inserted id=6 id=>6 title=>six",
		}},
		{"by transaction", w.after(1, 3, 1), w.after(1, 3, 3), []string{"inserted id=4 id=>4 title=>four", "updated id=2 title=x>two"}},
		{"by position", archive.Moment{Before: 16 * 4}, archive.Moment{Before: 16*4 + 1}, []string{"updated id=1 title=one>uno"}},
		{"a truncate", w.after(1, 4, archive.WholeRecord), archive.Moment{}, []string{
			"deleted id=5 id=5> title=five>", "deleted id=6 id=6> title=six>", "inserted id=9 id=>9 title=>nine",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := Diff{Chain: w.chain, Genesis: w.genesis(), From: test.from, To: test.to}
			requireLines(t, d.changes(t), test.want)
		})
	}
	d := Diff{Chain: w.chain, Genesis: w.genesis(), From: w.after(1, 4, archive.WholeRecord), To: w.after(1, 2, archive.WholeRecord)}
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
		to   archive.Moment
		want []string
	}{
		{w.after(1, 3, 0), []string{"updated id=3 title=one>drei"}},
		{archive.Moment{}, []string{"deleted id=3 id=3> title=one>", "inserted id=4 id=>4 title=>drei"}},
	} {
		d := Diff{Chain: w.chain, Genesis: w.genesis(), From: w.after(1, 2, archive.WholeRecord), To: test.to}
		requireLines(t, d.changes(t), test.want)
	}
}

// Rows of a table that has no key are told apart by their values.
func TestDiffWithoutKey(t *testing.T) {
	t.Parallel()
	add := func(a, b string) line { return looseRow(action.Insert, nil, looseColumns, a, b) }
	drop := func(a, b string) line { return looseRow(action.Delete, looseColumns, nil, a, b) }
	change := func(a, b, to string) line { return looseRow(action.Update, looseColumns, []string{"b"}, a, b, to) }
	empty := line{write: func(b *action.Body) { b.Truncate(action.NewTruncate(loose, false, false)) }}
	for _, test := range []struct {
		name          string
		before, after []line
		want          []string
	}{
		{
			"rows",
			[]line{add("1", "x"), add("1", "x"), add("2", "y")},
			[]line{drop("1", "x"), change("2", "y", "z"), add("3", "q"), add("3", "q")},
			[]string{"deleted a=1> b=x>", "deleted a=2> b=y>", "inserted a=>2 b=>z", "inserted a=>3 b=>q x2"},
		},
		{"there and gone again", []line{add("1", "x")}, []line{add("2", "y"), drop("2", "y"), change("1", "x", "y"), change("1", "y", "x")}, nil},
		{"emptied", []line{add("1", "x"), empty, add("2", "y")}, []line{add("3", "z"), empty, add("4", "z")}, []string{"deleted a=2> b=y>", "inserted a=>4 b=>z"}},
		{"emptied, and the same again", []line{add("1", "x"), change("1", "x", "y")}, []line{empty, add("1", "y")}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWriter(t)
			w.next(test.before...)
			w.next(test.after...)
			d := Diff{Chain: w.chain, Genesis: w.looseGenesis(), From: w.after(1, 2, archive.WholeRecord)}
			requireLines(t, d.changes(t), test.want)
		})
	}
}

// A row is what it was at the first moment, whatever was under its key before, and
// whatever a record leaves out of it.
func TestDiffOfOneRow(t *testing.T) {
	t.Parallel()
	key := func(from, to string) line { return row(action.Update, []string{"id"}, []string{"id"}, from, to) }
	for _, test := range []struct {
		name          string
		before, after []line
		want          []string
	}{
		{"nothing but its key", []line{insert("1", "it")}, []line{key("1", "2")}, []string{"deleted id=1 id=1> title=it>", "inserted id=2 id=>2 title=>it"}},
		{"another has its former key", []line{insert("1", "it"), key("1", "2"), insert("1", "other")}, []line{update("2", "new")}, []string{"updated id=2 title=it>new"}},
		{"emptied before", []line{insert("1", "old"), truncate()}, []line{insert("1", "new")}, []string{"inserted id=1 id=>1 title=>new"}},
		{"deleted before", []line{insert("1", "old"), remove("1")}, []line{insert("1", "new")}, []string{"inserted id=1 id=>1 title=>new"}},
		{"there and gone again", []line{insert("1", "it")}, []line{insert("2", "x"), remove("2"), update("1", "y"), update("1", "it")}, nil},
		{"deleted and there again", []line{insert("1", "it")}, []line{remove("1"), insert("1", "new")}, []string{"updated id=1 title=it>new"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWriter(t)
			w.next(test.before...)
			w.next(test.after...)
			d := Diff{Chain: w.chain, Genesis: w.genesis(), From: w.after(1, 2, archive.WholeRecord)}
			requireLines(t, d.changes(t), test.want)
		})
	}
}

// The key of a table that was made later is learned from the changes of its rows.
func TestDiffLearnsTheKey(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	young := action.Name{Schema: "public", Name: "young"}
	columns := []string{"id", "v"}
	w.next(insert("1", "old"))
	w.next(
		statement("CREATE TABLE young (id int PRIMARY KEY, v text)"), rowOf(young, action.Insert, nil, columns, "1", "a"), rowOf(young, action.Insert, nil, columns, "2", "b"),
		update("1", "new"),
	)
	w.next(rowOf(young, action.Update, []string{"id"}, []string{"v"}, "1", "c"))
	post1 := "updated id=1 title=old>new"
	for _, test := range []struct {
		name   string
		from   archive.Moment
		tables []action.Name
		want   []string
	}{
		{"made in between", w.after(1, 2, archive.WholeRecord), nil, []string{"inserted id=1 id=>1 v=>c", "inserted id=2 id=>2 v=>b", post1}},
		{"made before", w.after(1, 3, archive.WholeRecord), nil, []string{"updated id=1 v=a>c"}},
		{"only the one", w.after(1, 2, archive.WholeRecord), []action.Name{young}, []string{"inserted id=1 id=>1 v=>c", "inserted id=2 id=>2 v=>b"}},
		{"only the other", w.after(1, 2, archive.WholeRecord), []action.Name{post}, []string{post1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := Diff{Chain: w.chain, Genesis: w.genesis(), From: test.from, Tables: test.tables}
			requireLines(t, d.changes(t), test.want)
		})
	}
}

// The two states end with the last transactions that they have.
func TestDiffNamesItsMoments(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	w.next(insert("1", "one"), insert("2", "two"))
	w.next(insert("3", "three"), insert("4", "four"))
	first := line{more: true, write: insert("5", "five").write}
	second := line{part: 2, write: insert("6", "six").write}
	w.next(first)
	w.next(second, insert("7", "seven"))
	place := func(p *Position) string {
		if p == nil {
			return "none"
		}
		return fmt.Sprintf("%d:%d", p.Seq, p.Tx)
	}
	for _, test := range []struct {
		from, to archive.Moment
		want     string
		rows     int
	}{
		{w.after(1, 1, archive.WholeRecord), w.after(1, 2, archive.WholeRecord), "none to 2:1", 2},
		{w.after(1, 2, 0), w.after(1, 3, 0), "2:0 to 3:0", 2},
		{w.after(1, 3, archive.WholeRecord), archive.Moment{}, "3:1 to 5:1", 3},
		{w.after(1, 3, archive.WholeRecord), w.after(1, 4, archive.WholeRecord), "3:1 to 5:0", 2}, // a transaction in parts is indivisible
	} {
		d := Diff{Chain: w.chain, Genesis: w.genesis(), From: test.from, To: test.to}
		c, err := d.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := place(c.From) + " to " + place(c.To); got != test.want || len(c.Rows) != test.rows {
			t.Errorf("got %s with %d rows, want %s with %d", got, len(c.Rows), test.want, test.rows)
		}
	}
}
