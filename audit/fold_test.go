package audit

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

// ledger is a table with a key and one without, and all that goes to the piles.
type ledger struct {
	*comparing
	t *testing.T
}

func newLedger(t *testing.T, room int64) *ledger {
	t.Helper()
	dir := t.TempDir()
	x := &expecting{Compare: &Compare{Most: 1000}, dir: dir, byName: map[action.Name]int{}, moved: map[string]string{}}
	keyed, loose := x.table(action.Name{Schema: "s", Name: "keyed"}), x.table(action.Name{Schema: "s", Name: "loose"})
	keyed.key = []string{"id"}
	for _, name := range []string{"id", "a", "big"} {
		keyed.number(name)
		loose.number(name)
	}
	var err1, err2 error
	x.tail, err1 = newPile(dir, "tail")
	x.rows, err2 = newSorter(dir, "rows", x.moved)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	t.Cleanup(func() {
		x.tail.remove()
		x.rows.remove()
	})
	return &ledger{&comparing{expecting: x, out: &Comparison{}, room: room}, t}
}

// happen puts a change on the pile, as the chain tells it.
func (l *ledger) happen(table string, op action.Op, key, set []string, values ...string) {
	l.t.Helper()
	c := &change{shape: action.NewShape(op, action.Name{Schema: "s", Name: table}, key, set)}
	for _, v := range texts(values) {
		c.values = append(c.values, v)
	}
	if err := l.happened(c); err != nil {
		l.t.Fatal(err)
	}
}

// live is a row that the database has.
func (l *ledger) live(table int, values ...string) {
	l.t.Helper()
	t := l.tables[table]
	row := t.row([]string{"id", "a", "big"}, texts(values))
	if err := l.rows.add(&entry{op: liveRow, table: table, key: t.keyOf(row), cells: row}); err != nil {
		l.t.Fatal(err)
	}
}

// differences are what the fold finds.
func (l *ledger) differences() (lines []string) {
	l.t.Helper()
	if err := l.fold(l.rows, 1); err != nil {
		l.t.Fatal(err)
	}
	for _, d := range l.out.Differences {
		line := d.Kind
		for _, v := range d.Key {
			line += " " + text(v.Text)
		}
		for _, c := range d.Columns {
			line += fmt.Sprintf(" %s:%s>%s", c.Name, text(c.Old), text(c.New))
		}
		if d.Times > 0 {
			line += fmt.Sprintf(" x%d", d.Times)
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

func (l *ledger) sort() {
	l.t.Helper()
	if err := l.sortRows(l.t.Context(), []bool{true, true}); err != nil {
		l.t.Fatal(err)
	}
}

// Whatever happens to rows, and however often the piles are sorted again, what is
// left is what the database must have.
func TestFoldOfRandomChanges(t *testing.T) {
	t.Parallel()
	for _, room := range []int64{inMemory, 2 << 10} {
		t.Run(fmt.Sprint(room), func(t *testing.T) {
			t.Parallel()
			l := newLedger(t, room)
			random := rand.New(rand.NewPCG(3, 4))
			want := map[string][2]string{} // a and big, by id
			for range 6000 {
				id, other, a := fmt.Sprint(random.IntN(300)), fmt.Sprint(random.IntN(300)), fmt.Sprint(random.IntN(5))
				row, ok := want[id]
				_, taken := want[other]
				switch n := random.IntN(1000); {
				case n == 0:
					clear(want)
					if err := l.tail.add(&entry{op: emptyRows, table: 0}); err != nil {
						t.Fatal(err)
					}
				case !ok:
					want[id] = [2]string{a, "big" + id}
					l.happen("keyed", action.Insert, nil, []string{"id", "a", "big"}, id, a, "big"+id)
				case n < 400:
					want[id] = [2]string{a, row[1]}
					l.happen("keyed", action.Update, []string{"id"}, []string{"a"}, id, a)
				case n < 500 && !taken: // big is not in the record
					delete(want, id)
					want[other] = [2]string{a, row[1]}
					l.happen("keyed", action.Update, []string{"id"}, []string{"id", "a"}, id, other, a)
				case n < 600 && !taken:
					delete(want, id)
					want[other] = [2]string{a, "NULL"}
					l.happen("keyed", action.Update, []string{"id"}, []string{"id", "a", "big"}, id, other, a, "NULL")
				case n < 800:
					delete(want, id)
					l.happen("keyed", action.Delete, []string{"id"}, nil, id)
				}
			}
			l.sort()
			var expect []string
			for id, row := range want {
				switch random.IntN(20) {
				case 0:
					expect = append(expect, "missing "+id)
				case 1:
					l.live(0, id, row[0]+"!", row[1])
					expect = append(expect, fmt.Sprintf("differs %s a:%s>%[2]s!", id, row[0]))
				case 2:
					l.live(0, id+"x", row[0], row[1])
					expect = append(expect, "missing "+id, "extra "+id+"x")
				default:
					l.live(0, id, row[0], row[1])
				}
			}
			slices.Sort(expect)
			if got := l.differences(); !slices.Equal(got, expect) || len(want) < 50 {
				t.Errorf("%d rows: got\n%s\nwant\n%s", len(want), strings.Join(got, "\n"), strings.Join(expect, "\n"))
			}
		})
	}
}

func TestFoldWithoutKey(t *testing.T) {
	t.Parallel()
	l := newLedger(t, inMemory)
	all := []string{"id", "a", "big"}
	for range 3 {
		l.happen("loose", action.Insert, nil, all, "1", "x", "NULL")
	}
	l.happen("loose", action.Insert, nil, all, "2", "y", "")
	l.happen("loose", action.Insert, nil, all, "3", "z", "")
	l.happen("loose", action.Delete, all, nil, "1", "x", "NULL")
	l.happen("loose", action.Update, all, []string{"a"}, "2", "y", "", "yy")
	l.sort()
	l.live(1, "1", "x", "NULL")
	l.live(1, "2", "yy", "NULL")
	l.live(1, "3", "z", "")
	l.live(1, "3", "z", "")
	want := []string{"extra 2 yy NULL x1", "extra 3 z  x1", "missing 1 x NULL x1", "missing 2 yy  x1"}
	if got := l.differences(); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A pile of one row is not sorted for ever, however large it is.
func TestFoldOfOneRow(t *testing.T) {
	t.Parallel()
	l := newLedger(t, 1)
	l.happen("keyed", action.Insert, nil, []string{"id", "a", "big"}, "1", "a", "x")
	l.sort()
	l.live(0, "1", "b", "x")
	if got, want := l.differences(), []string{"differs 1 a:a>b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// NULL is not the empty text, and what was emptied is gone, however often it was there.
func TestFoldOfNothing(t *testing.T) {
	t.Parallel()
	l := newLedger(t, inMemory)
	all := []string{"id", "a", "big"}
	l.happen("keyed", action.Insert, nil, all, "1", "NULL", "x")
	l.happen("keyed", action.Insert, nil, all, "2", "", "x")
	l.happen("keyed", action.Insert, nil, all, "3", "NULL", "")
	for range 3 {
		l.happen("loose", action.Insert, nil, all, "1", "x", "")
	}
	if err := l.tail.add(&entry{op: emptyRows, table: 1}); err != nil {
		t.Fatal(err)
	}
	l.happen("loose", action.Insert, nil, all, "1", "x", "")
	l.sort()
	l.live(0, "1", "", "x")
	l.live(0, "2", "NULL", "x")
	l.live(0, "3", "NULL", "")
	l.live(1, "1", "x", "")
	want := []string{"differs 1 a:NULL>", "differs 2 a:>NULL"}
	if got := l.differences(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMergeOfCells(t *testing.T) {
	t.Parallel()
	row := encode([]cell{{3, []byte("c")}, {0, nil}, {1, []byte{}}})
	got := merge(row, encode([]cell{{1, []byte("b")}, {2, nil}}))
	want := encode([]cell{{0, nil}, {1, []byte("b")}, {2, nil}, {3, []byte("c")}})
	if !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Of rows that a change of the columns met only the keys are known, and what is
// written later.
func TestFoldAfterForgetting(t *testing.T) {
	t.Parallel()
	l := newLedger(t, inMemory)
	all := []string{"id", "a", "big"}
	for _, id := range []string{"1", "2", "3"} {
		l.happen("keyed", action.Insert, nil, all, id, "old", "x")
	}
	if err := l.tail.add(&entry{op: forgetRows, table: 0}); err != nil {
		t.Fatal(err)
	}
	l.happen("keyed", action.Update, []string{"id"}, []string{"a"}, "2", "new")
	l.happen("keyed", action.Insert, nil, all, "4", "new", "x")
	l.sort()
	l.live(0, "1", "anything", "NULL")
	l.live(0, "2", "wrong", "anything")
	l.live(0, "4", "new", "wrong")
	want := []string{"differs 2 a:new>wrong", "differs 4 big:x>wrong", "missing 3"}
	if got := l.differences(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
