package action

import (
	"errors"
	"fmt"
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
	if name == sequencesAction {
		if got := p.columns(`,"columns":`); strings.Join(got, ",") != "sequence,value" {
			return nil, errors.New("want the columns sequence and value")
		}
		p.literal(`,"rows":[`)
		return NewSequences(), nil
	}
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
	}
	p.literal(`,"rows":[`)
	return NewShape(op, table, key, set), nil
}

// splitAction takes a row action's name apart.
func splitAction(name string) (Name, Op, error) {
	parts, err := splitName(name)
	if err != nil {
		return Name{}, 0, err
	}
	if len(parts) == 3 {
		for op := Insert; op <= Truncate; op++ {
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
