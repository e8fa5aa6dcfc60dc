package action

import "fmt"

// Op is what a row action does.
type Op byte

// The row actions, and the one action of the bridge's own.
const (
	Insert Op = iota + 1
	Update
	Delete
	Truncate
	Sequences // floors for sequences, read at the source after the transactions before it
)

var opNames = [...]string{Insert: "insert", Update: "update", Delete: "delete", Truncate: "truncate", Sequences: "sequences"}

func (o Op) String() string { return opNames[o] }

// sequencesAction names the action of Sequences. The schema pgbridge is never
// published, so the name is free.
const sequencesAction = "pgbridge.sequences"

// Shape is what the rows of a run have in common: table, operation, columns.
// Rows of one Shape in a row are written as one run. A Shape is immutable and
// may be shared; it is compared by pointer.
type Shape struct {
	Op    Op
	Table Name     // zero for Sequences
	Key   []string // update, delete: the columns that find the row
	Set   []string // insert, update: the columns that get a value
	// Restart and Cascade are what TRUNCATE said at the source.
	Restart, Cascade bool

	text []byte // everything that stands before the rows
	next *Shape // reader: the shape that followed last time
}

// NewShape makes the shape of a run of inserts (key is nil), updates or
// deletes (set is nil). An empty column list is a list of no columns.
func NewShape(op Op, table Name, key, set []string) *Shape {
	s := &Shape{Op: op, Table: table, Key: key, Set: set}
	b := append([]byte(nil), `{"action":`...)
	b = appendString(b, []byte(s.Action()))
	switch op {
	case Insert, Sequences:
		b = appendColumns(b, `,"columns":`, set)
	case Update:
		b = appendColumns(b, `,"key":`, key)
		b = appendColumns(b, `,"set":`, set)
	case Delete:
		b = appendColumns(b, `,"key":`, key)
	default:
		panic(fmt.Sprintf("action: a run of %v", op))
	}
	s.text = append(b, `,"rows":[`...)
	return s
}

// NewTruncate makes the shape of a TRUNCATE of one table. It has no rows.
func NewTruncate(table Name, restart, cascade bool) *Shape { //nolint:revive // the two words of the statement
	s := &Shape{Op: Truncate, Table: table, Restart: restart, Cascade: cascade}
	b := append([]byte(nil), `{"action":`...)
	b = appendString(b, []byte(s.Action()))
	if restart {
		b = append(b, `,"restart":true`...)
	}
	if cascade {
		b = append(b, `,"cascade":true`...)
	}
	s.text = append(b, '}')
	return s
}

// NewSequences makes the shape of a run of sequence floors: rows of the
// sequence's name (Name.String) and its last value.
func NewSequences() *Shape { return NewShape(Sequences, Name{}, nil, []string{"sequence", "value"}) }

// Action is the action's name in records: table and operation.
func (s *Shape) Action() string {
	if s.Op == Sequences {
		return sequencesAction
	}
	return s.Table.String() + "." + s.Op.String()
}

// Width is the number of values of a row: those of Key, then those of Set.
func (s *Shape) Width() int { return len(s.Key) + len(s.Set) }

func appendColumns(b []byte, name string, columns []string) []byte {
	b = append(b, name...)
	b = append(b, '[')
	for i, c := range columns {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, []byte(c))
	}
	return append(b, ']')
}
