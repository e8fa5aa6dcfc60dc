package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgbridge/pgbridge/action"
)

// explain judges every rule for the table and the operation of s, those that fit
// first, in the order in which they would be used.
func explain(defs action.Definitions, s *action.Shape) explanation {
	best := defs.Map(s)
	e := explanation{Action: best.Action(), Rules: []judgment{}}
	for _, name := range sortedNames(defs) {
		d := defs[name]
		for i := range d.Rules {
			r := &d.Rules[i]
			if r.Table == s.Table && r.Operation == s.Op.String() {
				j := judgment{Action: name.String(), Changed: r.Changed, Fits: r.Map(&d, s) != nil}
				if !j.Fits {
					j.Why = misfit(&d, r, s)
				}
				e.Rules = append(e.Rules, j)
			}
		}
	}
	slices.SortStableFunc(e.Rules, func(a, b judgment) int {
		if a.Fits != b.Fits {
			return map[bool]int{true: -1, false: 1}[a.Fits]
		}
		return breadth(a) - breadth(b)
	})
	for i := range e.Rules {
		j := &e.Rules[i]
		switch {
		case !j.Fits:
		case i == 0:
			j.Used, j.Why = true, "its parameters carry every changed value"
		case breadth(*j) > breadth(e.Rules[0]):
			j.Why = fmt.Sprintf("it fits, but %s is for fewer columns", e.Rules[0].Action)
		default:
			j.Why = fmt.Sprintf("it fits, but %s comes first by name", e.Rules[0].Action)
		}
	}
	return e
}

// breadth orders rules by how many changed columns they are for.
func breadth(j judgment) int {
	if j.Changed == nil {
		return 1 << 16 // any: more than a table can have
	}
	return len(j.Changed)
}

func sortedNames(defs action.Definitions) []action.Name {
	names := make([]action.Name, 0, len(defs))
	for n := range defs {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b action.Name) int { return strings.Compare(a.String(), b.String()) })
	return names
}

// misfit says why r does not name s. It follows Rule.Map.
func misfit(d *action.Definition, r *action.Rule, s *action.Shape) string {
	if s.Op == action.Update && r.Changed != nil {
		if more := without(s.Set, r.Changed); len(more) > 0 {
			return "it is for changes of " + strings.Join(r.Changed, ", ") + " only, and " + strings.Join(more, ", ") + " changed too"
		}
	}
	var carried []string
	taken := map[int]string{}
	for _, p := range d.Params {
		from, ok := r.From[p.Name]
		if !ok {
			continue // it takes its default
		}
		column, old := strings.CutPrefix(from, "old.")
		at := slices.Index(s.Key, column)
		if i := slices.Index(s.Set, column); i >= 0 && !old {
			at = len(s.Key) + i
			carried = append(carried, column)
		}
		if at < 0 {
			return fmt.Sprintf("parameter %s takes %s, which this change does not have", p.Name, from)
		}
		if other := taken[at]; other != "" {
			return fmt.Sprintf("parameters %s and %s take the same value", other, p.Name)
		}
		taken[at] = p.Name
	}
	if lost := without(without(s.Set, carried), r.Derived); len(lost) > 0 {
		return "no parameter carries " + strings.Join(lost, ", ") + ", and it is not derived"
	}
	return "it changes nothing"
}

// without are those of columns that are not among the others.
func without(columns, others []string) []string {
	return slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return slices.Contains(others, c) })
}
