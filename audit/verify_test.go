package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// told is a fault as a line: kind, archive by its place, numbers, who has it.
func told(r *Report, archives []Archive) (lines []string) {
	place := func(name string) string {
		return fmt.Sprint(slices.IndexFunc(archives, func(a Archive) bool { return a.Name() == name }))
	}
	for _, f := range r.Faults {
		line := fmt.Sprintf("%s %s %d-%d", f.Kind, f.Type, f.First, f.Last)
		if f.Archive != "" {
			line += " in " + place(f.Archive)
		}
		var has []string
		for _, name := range f.Has {
			has = append(has, place(name))
		}
		slices.Sort(has)
		if len(has) > 0 {
			line += " has " + strings.Join(has, ",")
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// chainOf is a chain of a genesis and so many records.
func chainOf(t *testing.T, records int) *writer {
	w := newWriter(t)
	w.next(line{copy: true, write: insert("0", "old").write})
	for n := range records - 1 {
		w.next(insert(fmt.Sprint(n+1), "hello"), update(fmt.Sprint(n+1), "hello, world"))
	}
	return w
}

func TestVerify(t *testing.T) {
	for _, test := range []struct {
		name     string
		spoil    func(t *testing.T, w *writer, a []Archive)
		faults   []string
		complete uint64
		stranger int
	}{
		{name: "clean", spoil: func(*testing.T, *writer, []Archive) {}, complete: 131},
		{name: "missing in one", spoil: func(t *testing.T, w *writer, a []Archive) {
			for _, item := range w.items[99:103] {
				a[0].drop(t, item)
			}
		}, faults: []string{"missing actions 100-103 in 0 has 1"}, complete: 131},
		{name: "the last ones missing in one", spoil: func(t *testing.T, w *writer, a []Archive) {
			a[1].drop(t, w.items[130])
		}, faults: []string{"missing actions 131-131 in 1 has 0"}, complete: 131},
		{name: "missing in both", spoil: func(t *testing.T, w *writer, a []Archive) {
			a[0].drop(t, w.items[99])
			a[1].drop(t, w.items[99])
		}, faults: []string{"missing actions 100-100"}, complete: 99},
		{name: "more missing than a window", spoil: func(t *testing.T, w *writer, a []Archive) {
			for _, item := range w.items[20:128] {
				a[0].drop(t, item)
				a[1].drop(t, item)
			}
		}, faults: []string{"missing actions 21-128"}, complete: 20},
		{name: "one bit changed", spoil: func(t *testing.T, w *writer, a []Archive) {
			a[1].spoil(t, w.items[7], flip)
		}, faults: []string{"damaged actions 8-8 in 1 has 0"}, complete: 131},
		{name: "truncated", spoil: func(t *testing.T, w *writer, a []Archive) {
			a[0].spoil(t, w.items[7], half)
		}, faults: []string{"damaged actions 8-8 in 0 has 1"}, complete: 131},
		{name: "truncated in both", spoil: func(t *testing.T, w *writer, a []Archive) {
			a[0].spoil(t, w.items[7], half)
			a[1].spoil(t, w.items[7], half)
		}, faults: []string{"damaged actions 8-8 in 0", "damaged actions 8-8 in 1"}, complete: 7},
		{name: "genesis missing in one", spoil: func(t *testing.T, w *writer, a []Archive) {
			a[0].drop(t, w.items[0])
		}, faults: []string{"missing genesis 1-1 in 0 has 1"}, complete: 131},
		{name: "another record under its name", spoil: func(t *testing.T, w *writer, a []Archive) {
			a[0].spoil(t, w.items[30], func([]byte) []byte { return w.items[31].Bytes })
		}, faults: []string{"damaged actions 31-31 in 0 has 1"}, complete: 131},
		{name: "forged tags", spoil: func(t *testing.T, w *writer, a []Archive) {
			put(t, a[0], strange(t, w.items[40], "Seq", "132", w.items[40].Data))
		}, complete: 131},
		{name: "a stranger's item of the same number", spoil: func(t *testing.T, w *writer, a []Archive) {
			put(t, a[0], strange(t, w.items[40], "Digest", strings.Repeat("ab", 32), []byte("nothing of the kind")))
		}, complete: 131, stranger: 1},
		{name: "fork at the end", spoil: func(t *testing.T, w *writer, a []Archive) {
			other := *w
			other.header = w.header
			other.header.Seq--
			record, err := archive.Open(w.items[130].Data)
			if err != nil {
				t.Fatal(err)
			}
			other.header.Prev = record.Header.Prev
			put(t, a[1], other.next(insert("999", "two histories")))
		}, faults: []string{
			"forked actions 131-131 has 0,1", "forked actions 131-131 has 1", "missing actions 131-131 in 0 has 1",
		}, complete: 130},
		{name: "wrong prev", spoil: func(t *testing.T, w *writer, a []Archive) {
			w.header.Prev = w.db
			both(t, a, w.next(insert("999", "of another history")))
		}, faults: []string{"unlinked actions 132-132 has 0,1"}, complete: 131},
		{name: "a body that is none", spoil: func(t *testing.T, w *writer, a []Archive) {
			h := w.header
			h.Seq++
			h.Txs = 1
			record := w.seal(h, []byte("nonsense\n"))
			both(t, a, w.wrap(&record))
		}, faults: []string{"unreadable actions 132-132 has 0,1"}, complete: 131},
		{name: "too few lines", spoil: func(t *testing.T, w *writer, a []Archive) {
			h := w.header
			h.Seq++
			h.Txs = 2
			record := w.seal(h, w.body(insert("1000", "x")))
			both(t, a, w.wrap(&record))
		}, faults: []string{"unreadable actions 132-132 has 0,1"}, complete: 131},
		{name: "too many lines", spoil: func(t *testing.T, w *writer, a []Archive) {
			h := w.header
			h.Seq++
			h.Txs = 1
			record := w.seal(h, w.body(insert("1000", "x"), insert("1001", "y")))
			both(t, a, w.wrap(&record))
		}, faults: []string{"unreadable actions 132-132 has 0,1"}, complete: 131},
		{name: "nonsense after the last line", spoil: func(t *testing.T, w *writer, a []Archive) {
			h := w.header
			h.Seq++
			h.Txs = 1
			record := w.seal(h, append(w.body(insert("1000", "x")), "nonsense\n"...))
			both(t, a, w.wrap(&record))
		}, faults: []string{"unreadable actions 132-132 has 0,1"}, complete: 131},
		{name: "a part that nothing is before", spoil: func(t *testing.T, w *writer, a []Archive) {
			l := insert("1000", "x")
			l.part = 2
			both(t, a, w.next(l))
		}, faults: []string{"unreadable actions 132-132 has 0,1"}, complete: 131},
		{name: "parts", spoil: func(t *testing.T, w *writer, a []Archive) {
			one, two := insert("1000", "x"), insert("1001", "y")
			one.more, two.part = true, 2
			both(t, a, w.next(one), w.next(two), w.next(insert("1002", "z")))
		}, complete: 134},
		{name: "a part in between that is lost", spoil: func(t *testing.T, w *writer, a []Archive) {
			one, three := insert("1000", "x"), insert("1001", "y")
			one.more, three.part = true, 3
			both(t, a, w.next(one), w.next(three))
		}, faults: []string{"unreadable actions 133-133 has 0,1"}, complete: 132},
		{name: "a part that is lost", spoil: func(t *testing.T, w *writer, a []Archive) {
			one := insert("1000", "x")
			one.more = true
			both(t, a, w.next(one), w.next(insert("1002", "z")))
		}, faults: []string{"unreadable actions 133-133 has 0,1"}, complete: 132},
		{name: "a part of another transaction", spoil: func(t *testing.T, w *writer, a []Archive) {
			one, two := insert("1000", "x"), insert("1001", "y")
			one.more, two.part, two.xid = true, 2, 8
			both(t, a, w.next(one), w.next(two))
		}, faults: []string{"unreadable actions 133-133 has 0,1"}, complete: 132},
		{name: "a part of a transaction at another position", spoil: func(t *testing.T, w *writer, a []Archive) {
			one, two := insert("1000", "x"), insert("1001", "y")
			one.more, two.part = true, 2
			both(t, a, w.next(one))
			w.header.To += 16
			both(t, a, w.next(two))
		}, faults: []string{"unreadable actions 133-133 has 0,1"}, complete: 132},
		{name: "a part inside of a record", spoil: func(t *testing.T, w *writer, a []Archive) {
			l := insert("1001", "y")
			l.part = 2
			both(t, a, w.next(insert("1000", "x"), l))
		}, faults: []string{"unreadable actions 132-132 has 0,1"}, complete: 131},
		{name: "a part after a hole", spoil: func(t *testing.T, w *writer, a []Archive) {
			one, two := insert("1000", "x"), insert("1001", "y")
			one.more, two.part = true, 2
			w.next(one)
			both(t, a, w.next(two))
		}, faults: []string{"missing actions 132-132"}, complete: 131},
		{name: "a part after a body that is none", spoil: func(t *testing.T, w *writer, a []Archive) {
			h := w.header
			h.Seq, h.Txs = h.Seq+1, 1
			record := w.seal(h, []byte("nonsense\n"))
			w.header, w.header.Prev = h, record.Digest
			l := insert("1001", "y")
			l.part = 2
			both(t, a, w.wrap(&record), w.next(l))
		}, faults: []string{"unreadable actions 132-132 has 0,1"}, complete: 131},
		{name: "a mark that is none", spoil: func(t *testing.T, w *writer, a []Archive) {
			both(t, a, w.next(line{write: func(b *action.Body) { b.Row(action.NewMark(), [][]byte{[]byte("first"), []byte("none")}) }}))
		}, faults: []string{"unreadable actions 132-132 has 0,1"}, complete: 131},
		{name: "a fork that goes on", spoil: func(t *testing.T, w *writer, a []Archive) {
			other := *w
			both(t, a, w.next(insert("999", "one history")), w.next(insert("1000", "goes on")))
			both(t, a, other.next(insert("999", "two histories")), other.next(insert("1000", "go on")))
		}, faults: []string{
			"forked actions 132-132 has 0,1", "forked actions 132-132 has 0,1", "forked actions 133-133 has 0,1", "forked actions 133-133 has 0,1",
		}, complete: 131},
		{name: "another schema", spoil: func(t *testing.T, w *writer, a []Archive) {
			w.header.Schema = action.Digest{1}
			both(t, a, w.next(insert("1000", "x")), w.next(insert("1001", "of the same one")))
		}, faults: []string{"unreadable actions 132-132 has 0,1"}, complete: 131},
		{name: "a schema that a statement led to", spoil: func(t *testing.T, w *writer, a []Archive) {
			statement := line{write: func(b *action.Body) {
				b.Row(action.NewSchema(), [][]byte{[]byte("ALTER TABLE post ADD n int"), []byte("{}")})
			}}
			items := []archive.Item{w.next(statement)}
			w.header.Schema = action.NextSchema(w.header.Schema, "ALTER TABLE post ADD n int", "{}")
			items = append(items, w.next(insert("1000", "x")))
			both(t, a, items...)
		}, complete: 133},
		{name: "initial rows later", spoil: func(t *testing.T, w *writer, a []Archive) {
			l := insert("1000", "x")
			l.copy = true
			both(t, a, w.next(l))
		}, faults: []string{"unreadable actions 132-132 has 0,1"}, complete: 131},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := chainOf(t, 130)
			a := []Archive{folder(t, w.items...), folder(t, w.items...)}
			test.spoil(t, w, a)
			r := w.verify(t, a...)
			if got := told(r, a); !slices.Equal(got, test.faults) {
				t.Errorf("faults: got\n%s\nwant\n%s\n%+v", strings.Join(got, "\n"), strings.Join(test.faults, "\n"), r.Faults)
			}
			if r.Complete == nil || r.Complete.Seq != test.complete {
				t.Errorf("complete: got %+v, want up to %d", r.Complete, test.complete)
			}
			if r.Strangers != test.stranger {
				t.Errorf("strangers: got %d, want %d", r.Strangers, test.stranger)
			}
		})
	}
}

// strange is an item of a stranger, with the tags of another one but for one tag.
func strange(t *testing.T, like archive.Item, tag, value string, data []byte) archive.Item {
	t.Helper()
	tags := slices.Clone(like.Tags)
	for i := range tags {
		if tags[i].Name == tag {
			tags[i].Value = value
		}
	}
	item, err := archive.SignItem(archive.KeyWallet(archive.KeyFromSeed([32]byte{9})), tags, data)
	if err != nil {
		t.Fatal(err)
	}
	return item
}

// both puts items into all archives.
func both(t *testing.T, a []Archive, items ...archive.Item) {
	t.Helper()
	for _, item := range items {
		for _, to := range a {
			put(t, to, item)
		}
	}
}

func put(t *testing.T, a Archive, item archive.Item) {
	t.Helper()
	if _, err := a.Putter.Put(t.Context(), item.Bytes); err != nil {
		t.Fatal(err)
	}
}
