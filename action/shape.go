package action

import "fmt"

// Op is what a row action does.
type Op byte

// The row actions, the actions of the bridge's own, and calls.
const (
	Insert Op = iota + 1
	Update
	Delete
	Truncate
	Sequences // floors for sequences, read at the source after the transactions before it
	Define    // definitions of named actions
	Call      // a call of a function; its row changes follow
	Schema    // statements that changed the schema, where they stand among the rows
	Clear     // all rows of one table go; what it holds then follows as inserts
	Mark      // checkpoints that the writer has made
)

var opNames = [...]string{
	Insert: "insert", Update: "update", Delete: "delete", Truncate: "truncate", Sequences: "sequences", Define: "define", Call: "call",
	Schema: "schema", Clear: "clear", Mark: "checkpoint",
}

func (o Op) String() string { return opNames[o] }

// Rows tells whether the operation changes rows of a table.
func (o Op) Rows() bool { return o >= Insert && o <= Truncate }

// The names of the bridge's own actions. The schema pgbridge is never
// published, so the names are free.
const (
	sequencesAction = "pgbridge.sequences"
	defineAction    = "pgbridge.define"
	schemaAction    = "pgbridge.schema"
	markAction      = "pgbridge.checkpoint"
)

// Shape is what the rows of a run have in common: table, operation, columns.
// Rows of one Shape in a row are written as one run. A Shape is immutable and
// may be shared; it is compared by pointer.
type Shape struct {
	Op    Op
	Table Name     // of the row actions
	Key   []string // update, delete: the columns that find the row
	Set   []string // insert, update: the columns that get a value
	// Function is what a Call calls, or what a mapped run is named after: one call
	// for each of its rows. Zero for others.
	Function Name
	// Params are the names of a Call's parameters. Those of a mapped run are as
	// many as Key and Set have columns: each gets the value at its place, and an
	// empty one stands for a value that is not passed.
	Params []string
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
	s.text = s.appendColumns(appendString(b, []byte(s.Action())))
	return s
}

// NewMapped makes the shape of a run of rows that is named after a function.
// params is as long as the rows are wide.
func NewMapped(rows *Shape, function Name, params []string) *Shape {
	s := &Shape{Op: rows.Op, Table: rows.Table, Key: rows.Key, Set: rows.Set, Function: function, Params: params}
	b := append([]byte(nil), `{"action":`...)
	b = appendString(b, []byte(s.Action()))
	b = append(b, `,"of":`...)
	b = appendString(b, []byte(rows.Action()))
	s.text = s.appendColumns(appendParams(b, params))
	return s
}

// NewCall makes the shape of a call.
func NewCall(function Name, params []string) *Shape {
	s := &Shape{Op: Call, Function: function, Params: params}
	b := append([]byte(nil), `{"action":`...)
	b = appendString(b, []byte(s.Action()))
	s.text = append(appendParams(b, params), `,"values":`...)
	return s
}

// NewDefine makes the shape of a run of definitions: rows of the action's name
// and its definition (Definition), or NULL where it is dropped.
func NewDefine() *Shape { return NewShape(Define, Name{}, nil, []string{"action", "definition"}) }

// appendColumns appends the column lists and what begins the rows.
func (s *Shape) appendColumns(b []byte) []byte {
	key, set := s.Key, s.Set
	switch s.Op {
	case Insert, Sequences, Define, Schema, Mark:
		b = appendColumns(b, `,"columns":`, set)
	case Update:
		b = appendColumns(b, `,"key":`, key)
		b = appendColumns(b, `,"set":`, set)
	case Delete:
		b = appendColumns(b, `,"key":`, key)
	default:
		panic(fmt.Sprintf("action: a run of %v", s.Op))
	}
	return append(b, `,"rows":[`...)
}

func appendParams(b []byte, params []string) []byte {
	b = append(b, `,"params":[`...)
	for i, name := range params {
		if i > 0 {
			b = append(b, ',')
		}
		if name == "" {
			b = append(b, "null"...)
			continue
		}
		b = appendString(b, []byte(name))
	}
	return append(b, ']')
}

// NewTruncate makes the shape of a TRUNCATE of one table. It has no rows.
func NewTruncate(table Name, restart, cascade bool) *Shape {
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

// NewClear makes the shape of a Clear. It has no rows.
func NewClear(table Name) *Shape {
	s := &Shape{Op: Clear, Table: table}
	b := append([]byte(nil), `{"action":`...)
	s.text = append(appendString(b, []byte(s.Action())), '}')
	return s
}

// NewSchema makes the shape of a run of statements that changed the schema: rows
// of the statement and of the settings of its session, a JSON object.
func NewSchema() *Shape { return NewShape(Schema, Name{}, nil, []string{"statement", "settings"}) }

// NewMark makes the shape of a run of checkpoints: rows of a checkpoint's number
// and of the digest of its record.
func NewMark() *Shape { return NewShape(Mark, Name{}, nil, []string{"number", "digest"}) }

// NewSequences makes the shape of a run of sequence floors: rows of the
// sequence's name (Name.String) and its last value.
func NewSequences() *Shape { return NewShape(Sequences, Name{}, nil, []string{"sequence", "value"}) }

// Action is the action's name in records: a function, or table and operation.
func (s *Shape) Action() string {
	switch {
	case s.Op == Sequences:
		return sequencesAction
	case s.Op == Define:
		return defineAction
	case s.Op == Schema:
		return schemaAction
	case s.Op == Mark:
		return markAction
	case s.Function != Name{}:
		return s.Function.String()
	}
	return s.RowAction()
}

// RowAction is the name that the rows have without a mapping.
func (s *Shape) RowAction() string {
	return s.Table.String() + "." + s.Op.String()
}

// Width is the number of values of a row: those of Key, then those of Set. Of a
// call it is the number of its parameters.
func (s *Shape) Width() int {
	if s.Op == Call {
		return len(s.Params)
	}
	return len(s.Key) + len(s.Set)
}

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
