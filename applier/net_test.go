package applier

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

// netPlans are the plans of everything that can happen to a table with the key
// id, by name of what happens.
func netPlans() (*table, map[string]*plan) {
	name := action.Name{Schema: "s", Name: "t"}
	columns := []string{"id", "a", "b", "toast"}
	t := &table{name: name, target: name.SQL(), columns: columns, key: []string{"id"}, equal: []string{"="}, types: map[string]column{}}
	for _, c := range columns {
		t.types[c] = column{typ: "text"}
	}
	plans := map[string]*plan{}
	for what, s := range map[string]*action.Shape{
		"insert":             action.NewShape(action.Insert, name, nil, columns),
		"update":             action.NewShape(action.Update, name, []string{"id"}, []string{"a", "b", "toast"}),
		"update but TOAST":   action.NewShape(action.Update, name, []string{"id"}, []string{"a", "b"}),
		"update key":         action.NewShape(action.Update, name, []string{"id"}, columns),
		"update key, not a":  action.NewShape(action.Update, name, []string{"id"}, []string{"id", "b"}),
		"update, whole row":  action.NewShape(action.Update, name, columns, []string{"b"}),
		"update of nothing":  action.NewShape(action.Update, name, columns, nil),
		"delete":             action.NewShape(action.Delete, name, []string{"id"}, nil),
		"delete a whole row": action.NewShape(action.Delete, name, columns, nil),
	} {
		plans[what] = newPlan(s, t)
	}
	return t, plans
}

// naive is a table that does as it is told, one row at a time, and says no as a
// server would.
type naive map[string]map[string]string

func (m naive) apply(p *plan, values []action.Value) error {
	s := p.shape
	row := map[string]string{}
	for i, c := range s.Set {
		row[c] = string(values[len(s.Key)+i])
	}
	if s.Op == action.Insert {
		if m[row["id"]] != nil {
			return fmt.Errorf("duplicate key %s", row["id"])
		}
		m[row["id"]] = row
		return nil
	}
	id := string(values[slices.Index(s.Key, "id")])
	old := m[id]
	if old == nil {
		return fmt.Errorf("no row %s", id)
	}
	delete(m, id)
	if s.Op == action.Delete {
		return nil
	}
	changed := maps.Clone(old)
	maps.Copy(changed, row)
	if m[changed["id"]] != nil {
		return fmt.Errorf("duplicate key %s", changed["id"])
	}
	m[changed["id"]] = changed
	return nil
}

// flush does to the table what writer.flush does.
func (m naive) flush(n *net) error {
	removes, updates, inserts := groupChanges(n)
	seen := map[string]bool{}
	for _, groups := range [][]planRows{removes, updates, inserts} {
		for _, g := range groups {
			for _, at := range g.at {
				values := n.values[at : at+g.plan.shape.Width()]
				if err := m.apply(g.plan, values); err != nil {
					return err
				}
				key := fmt.Sprint(g.plan.shape.Op, string(appendKey(nil, g.plan.key, values)))
				if seen[key] {
					return fmt.Errorf("two changes %s", key)
				}
				seen[key] = true
			}
		}
	}
	n.reset()
	return nil
}

// happening is one row action.
type happening struct {
	what   string
	values []string
}

// happen chooses what may happen to a table as it is.
func happen(r *rand.Rand, m naive, plans map[string]*plan) happening {
	ids := slices.Sorted(maps.Keys(m))
	free := strconv.Itoa(r.IntN(6))
	if len(ids) == 0 || m[free] == nil && r.IntN(3) == 0 {
		return happening{"insert", []string{free, text(r), text(r), text(r)}}
	}
	row := m[ids[r.IntN(len(ids))]]
	for {
		what := slices.Sorted(maps.Keys(plans))[r.IntN(len(plans))]
		s := plans[what].shape
		if s.Op == action.Insert {
			continue
		}
		h := happening{what: what}
		for _, c := range s.Key {
			h.values = append(h.values, row[c])
		}
		for _, c := range s.Set {
			value := text(r)
			if c == "id" { // a key that is free, or the same
				if value = row["id"]; m[free] == nil {
					value = free
				}
			}
			h.values = append(h.values, value)
		}
		return h
	}
}

func text(r *rand.Rand) string { return strconv.Itoa(r.IntN(1000)) }

func (h happening) row() []action.Value {
	values := make([]action.Value, len(h.values))
	for i, v := range h.values {
		values[i] = action.Value(v)
	}
	return values
}

// The net effect of any history is its effect: the table is the same as after
// the same changes one by one, every change finds its row, and no row is
// changed twice.
func TestNetIsTheEffectOfItsParts(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 0))
		table, plans := netPlans()
		before := naive{}
		for i := range r.IntN(4) {
			id := strconv.Itoa(i)
			before[id] = map[string]string{"id": id, "a": "x", "b": "y", "toast": "z"}
		}
		want, got := maps.Clone(before), maps.Clone(before)
		n := &net{table: table}
		var story []string
		for range 1 + r.IntN(40) {
			h := happen(r, want, plans)
			story = append(story, fmt.Sprint(h.what, h.values))
			p := plans[h.what]
			if err := want.apply(p, h.row()); err != nil {
				t.Fatalf("seed %d: the test itself: %s: %v", seed, h.what, err)
			}
			err := error(nil)
			if !n.add(p, h.row()) {
				if err = got.flush(n); err == nil {
					err = got.apply(p, h.row())
				}
			}
			if err == nil && r.IntN(15) == 0 {
				err = got.flush(n) // the end of a group
			}
			if err != nil {
				t.Fatalf("seed %d: %v after\n%s", seed, err, strings.Join(story, "\n"))
			}
		}
		if err := got.flush(n); err != nil {
			t.Fatalf("seed %d: %v after\n%s", seed, err, strings.Join(story, "\n"))
		}
		if !maps.EqualFunc(got, want, maps.Equal[map[string]string]) {
			t.Fatalf("seed %d: got %v, want %v after\n%s", seed, got, want, strings.Join(story, "\n"))
		}
	}
}

func TestNetFolds(t *testing.T) {
	in := func(id string) happening { return happening{"insert", []string{id, "a", "b", "t"}} }
	up := func(id string) happening { return happening{"update", []string{id, "A", "B", "T"}} }
	part := func(id string) happening { return happening{"update but TOAST", []string{id, "A2", "B2"}} }
	del := func(id string) happening { return happening{"delete", []string{id}} }
	rekey := func(id, to string) happening { return happening{"update key", []string{id, to, "A", "B", "T"}} }
	for _, test := range []struct {
		name    string
		history []happening
		want    string // what is left to do: removes, updates, inserts; a dot before what could not be added
	}{
		{"inserts", []happening{in("1"), in("2")}, "0 0 2"},
		{"insert and update", []happening{in("1"), up("1"), part("1")}, "0 0 1"},
		{"insert and delete", []happening{in("1"), del("1")}, "0 0 0"},
		{"updates", []happening{up("1"), up("1"), part("1"), up("2")}, "0 2 0"},
		{"a narrow update, then a wide one", []happening{part("1"), up("1")}, ".update 0 1 0"},
		{"update and delete", []happening{up("1"), del("1")}, "1 0 0"},
		{"delete and insert", []happening{del("1"), in("1"), up("1")}, "1 0 1"},
		{"delete, insert, delete", []happening{del("1"), in("1"), del("1")}, "1 0 0"},
		{"key that changes", []happening{up("1"), rekey("1", "2")}, ".update key 0 1 0"},
		{"key that is set and stays", []happening{rekey("1", "1"), up("1"), rekey("1", "1")}, "0 1 0"},
		{"update of nothing", []happening{{"update of nothing", []string{"1", "a", "b", "t"}}}, "0 0 0"},
		{"insert of what was updated", []happening{up("1"), in("1")}, ".insert 0 1 0"},
		{"update of what is gone", []happening{del("1"), up("1")}, ".update 1 0 0"},
		{"delete of what is gone", []happening{del("1"), del("1")}, ".delete 1 0 0"},
		{"delete of what came and went", []happening{in("1"), up("2"), del("1"), del("1")}, "1 1 0"}, // and the server will not find it,
	} {
		t.Run(test.name, func(t *testing.T) {
			table, plans := netPlans()
			n := &net{table: table}
			got := ""
			for _, h := range test.history {
				if !n.add(plans[h.what], h.row()) {
					got += "." + h.what + " "
				}
			}
			count := func(groups []planRows) (rows int) {
				for _, g := range groups {
					rows += len(g.at)
				}
				return rows
			}
			removes, updates, inserts := groupChanges(n)
			got += fmt.Sprint(count(removes), count(updates), count(inserts))
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Keys that could be taken for each other are not.
func TestNetKeysApart(t *testing.T) {
	name := action.Name{Schema: "s", Name: "t"}
	tab := &table{name: name, columns: []string{"a", "b"}, key: []string{"a", "b"}, equal: []string{"=", "="}, types: map[string]column{"a": {typ: "text"}, "b": {typ: "text"}}}
	p := newPlan(action.NewShape(action.Delete, name, []string{"a", "b"}, nil), tab)
	n := &net{table: tab}
	for _, key := range [][2]string{{"", "x"}, {"x", ""}, {"", ""}, {`\"`, ""}, {"", `\"`}, {`\"\"`, ""}, {`\\`, `\"`}, {`\\\"`, ``}, {",", ","}, {",,", ""}} {
		if !n.add(p, []action.Value{action.Value(key[0]), action.Value(key[1])}) {
			t.Errorf("key %q was taken for another", key)
		}
	}
	if len(n.changes) != 10 {
		t.Errorf("got %d changes, want 10", len(n.changes))
	}
}
