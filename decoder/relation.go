package decoder

import (
	"fmt"

	"github.com/pgbridge/pgbridge/action"
)

// relation is a table as the last RELATION message described it. WAL written
// before an ALTER TABLE is preceded by the description of that time.
type relation struct {
	name     action.Name
	identity byte // d default, n nothing, f full, i index
	columns  []string
	isKey    []bool
	keys     []string

	insert   *action.Shape
	deletes  [2]*action.Shape // by key, by whole row
	updates  map[string]*action.Shape
	lastMask []byte
	last     *action.Shape
}

func parseRelation(m *message) (oid uint32, r *relation, err error) {
	oid = m.uint32()
	r = &relation{updates: map[string]*action.Shape{}}
	r.name.Schema = m.string()
	if r.name.Schema == "" {
		r.name.Schema = "pg_catalog" // the protocol's abbreviation
	}
	r.name.Name = m.string()
	r.identity = m.byte()
	for range m.uint16() {
		key := m.byte()&1 != 0
		name := m.string()
		m.take(8) // type and its modifier: values travel as text
		if m.err != nil {
			break
		}
		r.columns = append(r.columns, name)
		r.isKey = append(r.isKey, key)
		if key {
			r.keys = append(r.keys, name)
		}
	}
	return oid, r, m.end()
}

func (r *relation) insertShape() *action.Shape {
	if r.insert == nil {
		r.insert = action.NewShape(action.Insert, r.name, nil, r.columns)
	}
	return r.insert
}

// deleteShape is the shape of a delete whose old tuple is a key (K) or a row (O).
func (r *relation) deleteShape(old byte) *action.Shape {
	i, columns := 0, r.keys
	if old == 'O' {
		i, columns = 1, r.columns
	}
	if r.deletes[i] == nil {
		r.deletes[i] = action.NewShape(action.Delete, r.name, columns, nil)
	}
	return r.deletes[i]
}

// updateShape is the shape of an update whose old tuple is a key (K), a row (O)
// or absent (N), and that sets the columns whose byte in mask is 1. mask has
// one byte more than there are columns: the last is old.
func (r *relation) updateShape(mask []byte) *action.Shape {
	if r.last != nil && string(mask) == string(r.lastMask) {
		return r.last
	}
	s := r.updates[string(mask)]
	if s == nil {
		key, set := r.keys, []string{}
		if mask[len(r.columns)] == 'O' {
			key = r.columns
		}
		for i, c := range r.columns {
			if mask[i] == 1 {
				set = append(set, c)
			}
		}
		s = action.NewShape(action.Update, r.name, key, set)
		r.updates[string(mask)] = s
	}
	r.last, r.lastMask = s, append(r.lastMask[:0], mask...)
	return s
}

func (r *relation) noKey(op action.Op) error {
	return fmt.Errorf("%s of %s without a replica identity: give the table a primary key, or ALTER TABLE %s REPLICA IDENTITY FULL",
		op, r.name, r.name.SQL())
}
