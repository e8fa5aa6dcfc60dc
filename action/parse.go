package action

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// parseShape reads the text of an action up to its rows, and tells how long it
// is. Canonical form is the caller's to check.
func parseShape(b []byte) (*Shape, int, error) {
	p := shapeParser{rest: b}
	name := p.string(`{"action":`)
	if p.err != nil {
		return nil, 0, p.err
	}
	s, err := p.shape(name)
	if err != nil {
		return nil, 0, fmt.Errorf("action %q: %w", name, err)
	}
	if p.err != nil {
		return nil, 0, fmt.Errorf("action %q: %w", name, p.err)
	}
	return s, len(b) - len(p.rest), nil
}

func (p *shapeParser) shape(name string) (*Shape, error) {
	switch name {
	case sequencesAction:
		return p.own(NewSequences())
	case defineAction:
		return p.own(NewDefine())
	case schemaAction:
		return p.own(NewSchema())
	case markAction:
		return p.own(NewMark())
	}
	parts, err := splitName(name)
	if err != nil {
		return nil, err
	}
	if len(parts) == 2 {
		return p.named(Name{Schema: parts[0], Name: parts[1]})
	}
	return p.rows(parts)
}

// own reads the columns of an action of the bridge's own, which are always the
// same.
func (p *shapeParser) own(s *Shape) (*Shape, error) {
	if got := p.columns(`,"columns":`); !slices.Equal(got, s.Set) {
		return nil, fmt.Errorf("want the columns %s", strings.Join(s.Set, " and "))
	}
	p.literal(`,"rows":[`)
	return s, nil
}

// named reads a call, or a mapped run.
func (p *shapeParser) named(function Name) (*Shape, error) {
	if !p.optional(`,"of":`) {
		params := p.params()
		p.literal(`,"values":`)
		if slices.Contains(params, "") {
			return nil, errors.New("a parameter without a name")
		}
		return NewCall(function, params), nil
	}
	parts, err := splitName(p.string(""))
	if err != nil {
		return nil, err
	}
	params := p.params()
	rows, err := p.rows(parts)
	if err != nil {
		return nil, err
	}
	if rows.Op == Truncate || rows.Op == Clear || len(params) != rows.Width() {
		return nil, errors.New("want a parameter, or null, for each value of a row")
	}
	return NewMapped(rows, function, params), nil
}

// rows reads a row action.
func (p *shapeParser) rows(name []string) (*Shape, error) {
	table, op, err := splitAction(name)
	if err != nil {
		return nil, err
	}
	var key, set []string
	switch op {
	case Insert:
		set = p.columns(`,"columns":`)
	case Update:
		key = p.columns(`,"key":`)
		set = p.columns(`,"set":`)
	case Delete:
		key = p.columns(`,"key":`)
	case Truncate:
		restart, cascade := p.optional(`,"restart":true`), p.optional(`,"cascade":true`)
		p.literal("}")
		return NewTruncate(table, restart, cascade), nil
	case Clear:
		p.literal("}")
		return NewClear(table), nil
	}
	p.literal(`,"rows":[`)
	return NewShape(op, table, key, set), nil
}

// splitAction takes the parts of a row action's name.
func splitAction(parts []string) (Name, Op, error) {
	if len(parts) == 3 {
		for _, op := range []Op{Insert, Update, Delete, Truncate, Clear} {
			if parts[2] == op.String() {
				return Name{Schema: parts[0], Name: parts[1]}, op, nil
			}
		}
	}
	return Name{}, 0, errors.New("not known to this pgbridge: update it")
}

type shapeParser struct {
	rest []byte
	err  error
}

func (p *shapeParser) optional(s string) bool {
	if len(p.rest) < len(s) || string(p.rest[:len(s)]) != s {
		return false
	}
	p.rest = p.rest[len(s):]
	return true
}

func (p *shapeParser) literal(s string) {
	if !p.optional(s) && p.err == nil {
		p.err = fmt.Errorf("want %s", s)
	}
}

func (p *shapeParser) string(prefix string) string {
	p.literal(prefix)
	if p.err != nil {
		return ""
	}
	inside, n, err := scanString(p.rest)
	if err != nil {
		p.err = err
		return ""
	}
	p.rest = p.rest[n:]
	return string(Value(inside).AppendText(nil))
}

// params reads names and nulls, which are empty.
func (p *shapeParser) params() []string {
	p.literal(`,"params":[`)
	params := []string{}
	for p.err == nil && !p.optional("]") {
		if len(params) > 0 {
			p.literal(",")
		}
		if p.optional("null") {
			params = append(params, "")
			continue
		}
		name := p.string("")
		if name == "" && p.err == nil {
			p.err = errors.New("a parameter without a name")
		}
		params = append(params, name)
	}
	return params
}

func (p *shapeParser) columns(prefix string) []string {
	p.literal(prefix)
	p.literal("[")
	columns := []string{}
	for p.err == nil && !p.optional("]") {
		separator := ","
		if len(columns) == 0 {
			separator = ""
		}
		columns = append(columns, p.string(separator))
	}
	return columns
}
