package audit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

// events are the events of a history as lines; records count from the first after
// the genesis.
func (h *History) events(t *testing.T) (lines []string) {
	t.Helper()
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
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
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
			requireLines(t, h.events(t), test.want)
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

// Told is what happened to the row, under every key that it had, and nothing of
// other rows that had one of them before or after it.
func TestHistoryOfOneRow(t *testing.T) {
	t.Parallel()
	both := func(lines ...line) line {
		return line{write: func(b *action.Body) {
			for _, l := range lines {
				l.write(b)
			}
		}}
	}
	clearOut := line{write: func(b *action.Body) { b.Truncate(action.NewClear(post)) }}
	retitle := action.NewMapped(action.NewShape(action.Update, post, []string{"id"}, []string{"title"}), action.Name{Schema: "app", Name: "retitle"}, []string{"which", "to"})
	mapped := line{write: func(b *action.Body) { b.Row(retitle, [][]byte{[]byte("1"), []byte("new")}) }}
	other := rowOf(action.Name{Schema: "public", Name: "other"}, action.Insert, nil, []string{"id"}, "1")
	for _, test := range []struct {
		name  string
		key   string
		lines []line
		want  []string
	}{
		{
			"another had one of its keys before", "3",
			[]line{insert("1", "other"), remove("1"), insert("2", "it"), rename("2", "1", "it"), rename("1", "3", "it")},
			[]string{"1:2 insert id=2 id=>2 title=>it", "1:3 update id=2 id=2>1", "1:4 update id=1 id=1>3"},
		},
		{
			"another got one of its keys later", "1",
			[]line{insert("1", "it"), rename("1", "2", "it"), rename("2", "3", "it"), insert("2", "other"), update("3", "late")},
			[]string{"1:0 insert id=1 id=>1 title=>it", "1:1 update id=1 id=1>2", "1:2 update id=2 id=2>3", "1:4 update id=3 title=it>late"},
		},
		{
			"another got its last key", "1",
			[]line{insert("1", "it"), rename("1", "2", "it"), remove("2"), insert("2", "other")},
			[]string{"1:0 insert id=1 id=>1 title=>it", "1:1 update id=1 id=1>2", "1:2 delete id=2 id=2> title=it>"},
		},
		{
			"emptied when it was gone", "2",
			[]line{insert("1", "it"), rename("1", "2", "it"), remove("2"), truncate()},
			[]string{"1:0 insert id=1 id=>1 title=>it", "1:1 update id=1 id=1>2", "1:2 delete id=2 id=2> title=it>"},
		},
		{"emptied twice", "1", []line{insert("1", "it"), truncate(), truncate()}, []string{"1:0 insert id=1 id=>1 title=>it", "1:1 truncate id=1"}},
		{
			"written anew", "1",
			[]line{insert("1", "it"), rename("1", "2", "it"), clearOut, insert("2", "anew")},
			[]string{"1:0 insert id=1 id=>1 title=>it", "1:1 update id=1 id=1>2", "1:2 clear id=1", "1:3 insert id=2 id=>2 title=>anew"},
		},
		{"of another table", "1", []line{other}, nil},
		{
			"beside a call", "1",
			[]line{both(call("write", "7", insert("1", "it")), update("1", "late"))},
			[]string{"1:0 insert id=1 app.write(it=7) id=>1 title=>it", "1:0 update id=1 title=it>late"},
		},
		{
			"named after a function", "1",
			[]line{insert("1", "it"), mapped},
			[]string{"1:0 insert id=1 id=>1 title=>it", "1:1 update id=1 app.retitle(which=1) title=it>new"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWriter(t)
			w.next(test.lines...)
			h := History{Chain: w.chain, Genesis: w.genesis(), Table: post, Key: []Value{{"id", &test.key}}}
			requireLines(t, h.events(t), test.want)
		})
	}
}

// A life that is longer than what is kept of it while the chain is read.
func TestHistoryOfManyEvents(t *testing.T) {
	t.Parallel()
	for _, events := range []int{maxEvents, maxEvents + 1, maxEvents + 2} {
		w := newWriter(t)
		lines := []line{insert("1", "0")}
		for n := range events - 1 {
			lines = append(lines, update("1", fmt.Sprint(n+1)))
		}
		w.next(lines...)
		one := "1"
		h := History{Chain: w.chain, Genesis: w.genesis(), Table: post, Key: []Value{{"id", &one}}}
		if got := len(h.events(t)); got != events {
			t.Errorf("got %d events, want %d", got, events)
		}
	}
}

// Of a table without a key, all rows that have the values are told of.
func TestHistoryWithoutKey(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	w.next(
		looseRow(action.Insert, nil, looseColumns, "1", "x"), looseRow(action.Update, looseColumns, []string{"b"}, "1", "x", "y"),
		looseRow(action.Delete, looseColumns, nil, "1", "y"), looseRow(action.Insert, nil, looseColumns, "2", "NULL"),
	)
	x, y := "x", "y"
	for _, test := range []struct {
		key  *string
		want []string
	}{
		{&x, []string{"1:0 insert b=x a=>1 b=>x", "1:1 update b=x b=x>y"}},
		{&y, []string{"1:1 update b=y b=x>y", "1:2 delete b=y a=1> b=y>"}},
		{nil, []string{"1:3 insert b=NULL a=>2 b=>NULL"}},
	} {
		h := History{Chain: w.chain, Genesis: w.looseGenesis(), Table: loose, Key: []Value{{"b", test.key}}}
		requireLines(t, h.events(t), test.want)
	}
	h := History{Chain: w.chain, Genesis: w.looseGenesis(), Table: loose}
	if err := h.Run(t.Context(), func(*Event) error { return nil }); err == nil || !strings.Contains(err.Error(), "which row?") {
		t.Errorf("no value: got %v, want that it asks for one", err)
	}
}
