package decoder

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/pgbridge/pgbridge/action"
)

// Decoder reads the messages of one replication connection, in order. It keeps
// the descriptions of tables; the server sends them anew on every connection,
// so a Decoder must not outlive its connection. The zero value is ready. Not
// safe for concurrent use.
type Decoder struct {
	relations map[uint32]*relation
	old, new  []column
	mask      []byte
	event     Event
}

// Decode reads one message. The event is valid until the next call and as long
// as msg is not overwritten. An error means that the stream cannot be
// understood: nothing after it may be used.
func (d *Decoder) Decode(msg []byte) (*Event, error) {
	if len(msg) == 0 {
		return nil, errors.New("decode: empty message")
	}
	m := message{rest: msg[1:]}
	e := &d.event
	*e = Event{Values: e.Values[:0], Truncates: e.Truncates[:0]}
	err := d.decode(msg[0], &m, e)
	if m.err != nil {
		err = m.err // all that was found after the cut follows from it
	}
	if err != nil {
		return nil, fmt.Errorf("decode %s message: %w", messageName(msg[0]), err)
	}
	return e, nil
}

func (d *Decoder) decode(kind byte, m *message, e *Event) error {
	switch kind {
	case 'I':
		return d.insert(m, e)
	case 'U':
		return d.update(m, e)
	case 'D':
		return d.delete(m, e)
	case 'B':
		e.Kind, e.LSN, e.Time, e.XID = Begin, m.lsn(), m.time(), m.uint32()
		return m.end()
	case 'C':
		m.byte() // flags, unused
		e.Kind, e.LSN, e.End, e.Time = Commit, m.lsn(), m.lsn(), m.time()
		return m.end()
	case 'R':
		oid, r, err := parseRelation(m)
		if err != nil {
			return err
		}
		if d.relations == nil {
			d.relations = map[uint32]*relation{}
		}
		d.relations[oid] = r
		return nil
	case 'T':
		return d.truncate(m, e)
	case 'O':
		e.Kind, e.LSN, e.Name = Origin, m.lsn(), m.string()
		return m.end()
	case 'M':
		return d.message(m, e)
	case 'Y':
		m.take(4)
		_, _ = m.string(), m.string() // values travel as text: the type's name is of no use
		return m.end()
	}
	return errors.New("not part of protocol version 1, which is all this pgbridge asks for: is something else using the slot?")
}

// RenameSchema says that a schema has another name from here on. The server, which
// describes a table anew when it changes, does not always notice that its schema did.
func (d *Decoder) RenameSchema(from, to string) {
	for oid, r := range d.relations {
		if r.name.Schema == from {
			d.relations[oid] = r.inSchema(to)
		}
	}
}

func (d *Decoder) message(m *message, e *Event) error {
	flags := m.byte()
	if flags > 1 {
		return fmt.Errorf("unknown flags %#x", flags)
	}
	e.Kind, e.Transactional, e.LSN, e.Name = Message, flags == 1, m.lsn(), m.string()
	e.Content = m.take(int(m.uint32()))
	return m.end()
}

func (d *Decoder) insert(m *message, e *Event) error {
	r, err := d.relation(m)
	if err != nil {
		return err
	}
	if c := m.byte(); c != 'N' {
		return fmt.Errorf("%s: tuple of kind %q where the new one is expected", r.name, c)
	}
	if d.new, err = r.tuple(m, d.new); err != nil {
		return err
	}
	for i, c := range d.new {
		if c.state == 'u' {
			return fmt.Errorf("%s: inserted value of column %q is absent", r.name, r.columns[i])
		}
		e.Values = append(e.Values, c.text)
	}
	e.Kind, e.Shape = Row, r.insertShape()
	return m.end()
}

func (d *Decoder) delete(m *message, e *Event) error {
	r, err := d.relation(m)
	if err != nil {
		return err
	}
	kind := m.byte()
	if kind != 'K' && kind != 'O' {
		return fmt.Errorf("%s: tuple of kind %q where an old one is expected", r.name, kind)
	}
	if d.old, err = r.tuple(m, d.old); err != nil {
		return err
	}
	e.Kind, e.Shape = Row, r.deleteShape(kind)
	if len(e.Shape.Key) == 0 && kind != 'O' {
		return r.noKey(action.Delete)
	}
	if err := d.appendKey(r, e, d.old, kind == 'O'); err != nil {
		return err
	}
	return m.end()
}

// update yields the columns that find the row and those that may have changed.
// Without an old tuple the key is unchanged, and every other column that is
// there may have. With a whole old row only what differs is set.
func (d *Decoder) update(m *message, e *Event) error {
	r, err := d.relation(m)
	if err != nil {
		return err
	}
	kind := m.byte()
	old := byte('N')
	if kind == 'K' || kind == 'O' {
		old = kind
		if d.old, err = r.tuple(m, d.old); err != nil {
			return err
		}
		kind = m.byte()
	}
	if r.full && old != 'O' {
		return fmt.Errorf("%s: the old row is absent, but the replica identity is FULL", r.name)
	}
	if kind != 'N' {
		return fmt.Errorf("%s: tuple of kind %q where the new one is expected", r.name, kind)
	}
	if d.new, err = r.tuple(m, d.new); err != nil {
		return err
	}

	d.mask = d.mask[:0]
	for i := range d.new {
		set := byte(0)
		if d.sets(r, old, i) {
			set = 1
		}
		d.mask = append(d.mask, set)
	}
	d.mask = append(d.mask, old)
	e.Kind, e.Shape = Row, r.updateShape(d.mask)
	if len(e.Shape.Key) == 0 && old != 'O' {
		return r.noKey(action.Update)
	}

	from := d.old
	if old == 'N' {
		from = d.new
	}
	if err := d.appendKey(r, e, from, old == 'O'); err != nil {
		return err
	}
	for i, c := range d.new {
		if d.mask[i] == 1 {
			e.Values = append(e.Values, c.text)
		}
	}
	return m.end()
}

// sets tells whether the update is to set column i.
func (d *Decoder) sets(r *relation, old byte, i int) bool {
	c := d.new[i]
	if c.state == 'u' {
		return false
	}
	switch old {
	case 'O':
		return d.old[i].state != c.state || !bytes.Equal(d.old[i].text, c.text)
	case 'K':
		return true
	}
	return !r.isKey[i]
}

func (d *Decoder) appendKey(r *relation, e *Event, tuple []column, whole bool) error {
	for i, c := range tuple {
		if !whole && !r.isKey[i] {
			continue
		}
		if c.state == 'u' {
			return fmt.Errorf("%s: old value of column %q is absent", r.name, r.columns[i])
		}
		e.Values = append(e.Values, c.text)
	}
	return nil
}

// The option bits of TRUNCATE.
const (
	truncateCascade = 1
	truncateRestart = 2
)

func (d *Decoder) truncate(m *message, e *Event) error {
	n := m.uint32()
	options := m.byte()
	if options&^(truncateCascade|truncateRestart) != 0 {
		return fmt.Errorf("unknown options %#x", options)
	}
	if n == 0 && m.err == nil {
		return errors.New("no table is named")
	}
	for ; n > 0 && m.err == nil; n-- {
		r, err := d.relation(m)
		if err != nil {
			return err
		}
		e.Truncates = append(e.Truncates, r.truncateShape(options))
	}
	e.Kind = Truncate
	return m.end()
}

func (d *Decoder) relation(m *message) (*relation, error) {
	oid := m.uint32()
	if m.err != nil {
		return nil, m.err
	}
	r := d.relations[oid]
	if r == nil {
		return nil, fmt.Errorf("table with oid %d was never described", oid)
	}
	return r, nil
}

// messageName names a message as the documentation does.
func messageName(c byte) string {
	if name := messageNames[c]; name != "" {
		return name
	}
	return fmt.Sprintf("unknown (%q)", c)
}

var messageNames = map[byte]string{
	'B': "Begin", 'C': "Commit", 'O': "Origin", 'R': "Relation", 'Y': "Type", 'I': "Insert", 'U': "Update",
	'D': "Delete", 'T': "Truncate", 'M': "Logical Decoding", 'S': "Stream Start", 'E': "Stream Stop",
	'c': "Stream Commit", 'A': "Stream Abort", 'b': "Begin Prepare", 'P': "Prepare", 'K': "Commit Prepared",
	'r': "Rollback Prepared", 'p': "Stream Prepare",
}
