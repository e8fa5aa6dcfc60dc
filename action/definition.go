package action

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Definition is a named action: a function that only its owner may run, and the
// row changes that are named after it.
type Definition struct {
	Action   Name    `json:"action"`
	Function string  `json:"function"` // with the types of its parameters, to be read by regprocedure
	Params   []Param `json:"params"`
	Replay   Replay  `json:"replay"`
	Rules    []Rule  `json:"rules"`
}

// Param is a parameter of a function; its type is to be read by regtype.
type Param struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Replay is how a peer does what an action did.
type Replay string

// The ways to replay: run the function and compare what it did with the rows,
// or write the rows.
const (
	ReplayFunction Replay = "function"
	ReplayRows     Replay = "rows"
)

// Rule names changes of rows after a function.
type Rule struct {
	Table     Name   `json:"table"`
	Operation string `json:"operation"` // insert, update, delete
	// Changed limits an update to those that change no other columns; nil: any.
	Changed []string `json:"changed"`
	// From says which column each parameter takes: the new value where there is
	// one, and the old one where "old." stands before the column's name. A
	// parameter that is not in it has a default.
	From map[string]string `json:"from"`
	// Derived are the columns that the function works out by itself.
	Derived []string `json:"derived"`
}

// oldPrefix stands before a column in Rule.From whose old value is meant.
const oldPrefix = "old."

// ParseDefinition reads a definition and refuses what it does not know.
func ParseDefinition(text []byte) (Definition, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var def Definition
	if err := d.Decode(&def); err != nil {
		return Definition{}, fmt.Errorf("parse definition: %w", err)
	}
	if d.More() {
		return Definition{}, fmt.Errorf("parse definition of %s: something follows it", def.Action)
	}
	if def.Replay != ReplayFunction && def.Replay != ReplayRows {
		return Definition{}, fmt.Errorf("parse definition of %s: replay %q is not known to this pgbridge: update it", def.Action, def.Replay)
	}
	for _, r := range def.Rules {
		if !slices.Contains([]string{Insert.String(), Update.String(), Delete.String()}, r.Operation) {
			return Definition{}, fmt.Errorf("parse definition of %s: operation %q is not known to this pgbridge: update it", def.Action, r.Operation)
		}
	}
	return def, nil
}

// Map returns the shape that names rows of s after d, or nil where r does not
// fit: it is for other rows, a parameter has no value in them, or they carry a
// change that no parameter takes and that the function does not derive.
func (r *Rule) Map(d *Definition, s *Shape) *Shape {
	if s.Table != r.Table || s.Op.String() != r.Operation || s.Op == Update && !r.fits(s.Set) {
		return nil
	}
	params := make([]string, s.Width())
	for _, p := range d.Params {
		column, ok := r.From[p.Name]
		if !ok {
			continue // it takes its default
		}
		at := r.place(s, column)
		if at < 0 || params[at] != "" {
			return nil
		}
		params[at] = p.Name
	}
	for i, c := range s.Set {
		if params[len(s.Key)+i] == "" && !slices.Contains(r.Derived, c) {
			return nil
		}
	}
	return NewMapped(s, d.Action, params)
}

// fits tells whether an update of these columns is one that the rule is for. An
// update that changes nothing is nobody's.
func (r *Rule) fits(set []string) bool {
	if r.Changed == nil {
		return len(set) > 0
	}
	return len(set) > 0 && !slices.ContainsFunc(set, func(c string) bool { return !slices.Contains(r.Changed, c) })
}

// place is where in a row the value is that From names, or negative. A column
// that is not set has its old value.
func (r *Rule) place(s *Shape, column string) int {
	name, old := strings.CutPrefix(column, oldPrefix)
	if at := slices.Index(s.Set, name); at >= 0 && !old {
		return len(s.Key) + at
	}
	return slices.Index(s.Key, name)
}

// Definitions are the named actions in force.
type Definitions map[Name]Definition

// Map returns the shape that names rows of s after the best of all rules, or s
// where none fits. Best is the rule for the fewest changed columns, then the
// action that comes first by name, then the rule that was made first.
func (all Definitions) Map(s *Shape) *Shape {
	best, columns := s, -1
	for _, name := range all.names() {
		d := all[name]
		for i := range d.Rules {
			r := &d.Rules[i]
			n := len(r.Changed)
			if r.Changed == nil {
				n = 1 << 16 // more than a table can have
			}
			if columns >= 0 && n >= columns {
				continue
			}
			if m := r.Map(&d, s); m != nil {
				best, columns = m, n
			}
		}
	}
	return best
}

func (all Definitions) names() []Name {
	names := make([]Name, 0, len(all))
	for n := range all {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b Name) int { return strings.Compare(a.String(), b.String()) })
	return names
}
