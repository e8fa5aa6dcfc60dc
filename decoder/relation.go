package decoder

import (
	"fmt"

	"github.com/pgbridge/pgbridge/action"
)

// relation is a table as the last RELATION message described it. WAL written
// before an ALTER TABLE is preceded by the description of that time.
type relation struct {
	name    action.Name
	full    bool // replica identity is the whole row
	columns []string
	isKey   []bool
	keys    []string

	insert    *action.Shape
	deletes   [2]*action.Shape // by key, by whole row
	truncates [4]*action.Shape // by option bits
	updates   map[string]*action.Shape
	lastMask  []byte
	last      *action.Shape
}

// maxUpdates bounds the shapes of updates that a relation remembers: every set
// of changed columns has its own, and a wide table has more sets than memory.
const maxUpdates = 256

func parseRelation(m *message) (oid uint32, r *relation, err error) {
	oid = m.uint32()
	r = &relation{updates: map[string]*action.Shape{}}
	r.name.Schema = m.string()
	if r.name.Schema == "" {
		r.name.Schema = "pg_catalog" // the protocol's abbreviation
	}
	r.name.Name = m.string()
	r.full = m.byte() == 'f'
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

// inSchema is the same table in a schema of another name.
func (r *relation) inSchema(name string) *relation {
	return &relation{
		name: action.Name{Schema: name, Name: r.name.Name}, full: r.full, columns: r.columns, isKey: r.isKey, keys: r.keys,
		updates: map[string]*action.Shape{},
	}
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
		if len(r.updates) >= maxUpdates {
			clear(r.updates)
		}
		r.updates[string(mask)] = s
	}
	r.last, r.lastMask = s, append(r.lastMask[:0], mask...)
	return s
}

// truncateShape is the shape of a truncate with the option bits of the message.
func (r *relation) truncateShape(options byte) *action.Shape {
	if r.truncates[options] == nil {
		r.truncates[options] = action.NewTruncate(r.name, options&truncateRestart != 0, options&truncateCascade != 0)
	}
	return r.truncates[options]
}

func (r *relation) noKey(op action.Op) error {
	return fmt.Errorf("%s of %s without a replica identity: give the table a primary key, or ALTER TABLE %s REPLICA IDENTITY FULL",
		op, r.name, r.name.SQL())
}
