package publisher

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/ddl"
)

// statement is the payload of a mark: the schema was changed.
type statement struct {
	// Statement is the statement where N is 0. Else it is what a client sent as
	// one string, the N-th statement of which that fires event triggers, with the
	// command tag Tag, is meant. Nil: the string is that of the mark before.
	Statement *string         `json:"statement"`
	In        string          `json:"in"` // what the string is: a client's if empty, the "text" that a function ran, or the "body" of one in SQL
	N         int             `json:"n"`
	Tag       string          `json:"tag"`
	Made      string          `json:"made"` // by CREATE SCHEMA: the schema's name, as SQL writes it
	Author    author          `json:"author"`
	Settings  json.RawMessage `json:"settings"`
}

// author is who ran a statement, and who is to run it at a peer: see
// sql/functions/authors.sql.
type author struct {
	User    string          `json:"user"`    // as SQL writes the name; empty: the statement names no CURRENT_USER
	Session string          `json:"session"` // if that is another
	Role    json.RawMessage `json:"role"`    // nil: the owner of Object, or the peer's own role
	Object  json.RawMessage `json:"object"`  // is there before the statement
	// Unowned: marks of their own say whom the objects belong to. A statement that
	// says so, too, is run without it, as the owner of Object before if there is one.
	Unowned bool     `json:"unowned"`
	On      *objects `json:"on"` // of rights: the objects that are meant, if not those of the statement
}

// objects are some of one kind, their names as SQL writes them.
type objects struct {
	kind  string
	names []string
}

func (o *objects) UnmarshalJSON(b []byte) error { return unmarshalArray(b, &o.kind, &o.names) }

// change is a statement as the stream has it.
type change struct{ statement, settings string }

// one returns the statement that is meant. script is the string that a client
// sent last, split; one that comes with s takes its place.
func (s *statement) one(script *[]string) (one string, err error) {
	sent := s.N > 0 && s.In == ""
	switch {
	case sent && s.Statement != nil:
		if *script, err = ddl.Split(*s.Statement); err != nil {
			return "", fmt.Errorf("%w: %w", ddl.ErrStatement, err)
		}
		return ddl.FiredOf(*script, s.N, s.Tag)
	case sent:
		return ddl.FiredOf(*script, s.N, s.Tag)
	case s.Statement == nil:
		return "", errors.New("it has no text")
	case s.N == 0:
		return *s.Statement, nil
	case s.In == "text":
		return ddl.FiredInside(*s.Statement, s.N, s.Tag)
	case s.In == "body":
		return ddl.StatementOf(*s.Statement, s.N, s.Tag)
	}
	return "", fmt.Errorf("of a newer pgbridge: it is in a %s", s.In)
}

// resolve returns what peers are to run; ok is false where that is nothing.
func (s *statement) resolve(script *[]string) (c change, ok bool, err error) {
	one, err := s.one(script)
	if err != nil {
		return change{}, false, err
	}
	if s.Made != "" {
		one = ddl.NameSchema(one, s.Made)
	}
	if one, err = s.Author.rewrite(one); err != nil {
		return change{}, false, err
	}
	role, object := s.Author.Role, s.Author.Object
	if s.Author.Unowned {
		without := ddl.WithoutOwners(one)
		if without == one {
			object = nil
		} else if object != nil {
			role = nil
		}
		one = without
	}
	if one = ddl.Travels(one); one == "" {
		return change{}, false, nil
	}
	settings, err := settingsText(s.Settings, role, object)
	if err != nil {
		return change{}, false, fmt.Errorf("settings: %w", err)
	}
	return change{one, settings}, true, nil
}

// rewrite names what the statement means at the source, and means elsewhere
// otherwise.
func (a *author) rewrite(one string) (string, error) {
	if a.User != "" {
		one = ddl.NameRoles(one, a.User, cmp.Or(a.Session, a.User))
	}
	if a.On != nil {
		return ddl.GrantOn(one, a.On.kind, a.On.names)
	}
	return one, nil
}

// settingsText is the text of settings in the stream: without white space, and with
// who runs the statement at a peer behind the others.
func settingsText(settings, role, object json.RawMessage) (string, error) {
	var text bytes.Buffer
	err := json.Compact(&text, settings)
	for _, more := range []struct {
		key   string
		value json.RawMessage
	}{{"role", role}, {"object", object}} {
		if err != nil || more.value == nil {
			continue
		}
		last := text.Len() - 1
		if last < 1 || text.Bytes()[last] != '}' {
			return "", errors.New("not an object")
		}
		text.Truncate(last)
		if last > 1 {
			text.WriteByte(',')
		}
		text.WriteString(`"` + more.key + `":`)
		err = json.Compact(&text, more.value)
		text.WriteByte('}')
	}
	return text.String(), err
}

var schemaShape = action.NewSchema()

// changeSchema publishes a statement at its place among the rows.
func (b *builder) changeSchema(payload []byte) error {
	c, ok, err := b.readSchema(payload)
	if err != nil || !ok || !b.change() {
		return err
	}
	b.leaveCall()
	b.note(schemaShape)
	b.body.Row(schemaShape, [][]byte{[]byte(c.statement), []byte(c.settings)})
	b.changes = append(b.changes, c)
	b.restart = true // a sequence that is new has nothing published yet, also if it has an old one's name
	return nil
}

// passSchema reads a statement of a transaction that is not published.
func (b *builder) passSchema(payload []byte) error {
	_, _, err := b.readSchema(payload)
	return err
}

func (b *builder) readSchema(payload []byte) (c change, ok bool, err error) {
	var s statement
	if err := json.Unmarshal(payload, &s); err != nil {
		return change{}, false, fmt.Errorf("mark of a statement: %w", err)
	}
	if c, ok, err = s.resolve(&b.script); err != nil {
		return change{}, false, fmt.Errorf("mark of a statement: %w", err)
	}
	if from, to, ok := ddl.RenamedSchema(c.statement); ok {
		b.renames = append(b.renames, [2]string{from, to})
	}
	return c, ok, nil
}

// takeRenames returns the schemas that have other names since it was called last.
func (b *builder) takeRenames() [][2]string {
	all := b.renames
	b.renames = nil
	return all
}

// leaveCall ends the effect of an open call, which holds rows and nothing else.
// What the call does from here on follows as rows.
func (b *builder) leaveCall() {
	if b.inCall {
		b.body.EndCall()
		b.inCall = false
	}
}

// rewritten is the payload of a mark: a table has new values in all its rows,
// which follow.
type rewritten struct {
	table   string
	columns []string
}

func (r *rewritten) UnmarshalJSON(b []byte) error { return unmarshalArray(b, &r.table, &r.columns) }

// clearTable publishes that all rows of a table are gone, and remembers it for
// the rows that follow.
func (b *builder) clearTable(payload []byte) error {
	var r rewritten
	if err := json.Unmarshal(payload, &r); err != nil {
		return fmt.Errorf("mark of a rewritten table: %w", err)
	}
	table, err := action.ParseName(r.table)
	if err != nil {
		return fmt.Errorf("mark of a rewritten table: %w", err)
	}
	b.rewritten = action.NewShape(action.Insert, table, nil, r.columns)
	if !b.change() {
		return nil
	}
	b.leaveCall()
	s := action.NewClear(table)
	b.note(s)
	b.body.Truncate(s)
	return nil
}

// refill publishes rows of the table that was cleared last.
func (b *builder) refill(payload []byte) error {
	var rows [][]*string
	if err := json.Unmarshal(payload, &rows); err != nil {
		return fmt.Errorf("mark of rows: %w", err)
	}
	if b.rewritten == nil {
		return fmt.Errorf("mark of rows: no table was cleared before")
	}
	for _, row := range rows {
		if len(row) != b.rewritten.Width() {
			return fmt.Errorf("mark of rows of %s: %d values for %d columns", b.rewritten.Table, len(row), b.rewritten.Width())
		}
		if !b.change() {
			continue
		}
		b.note(b.rewritten)
		b.body.Row(b.rewritten, texts(row))
	}
	return nil
}

// texts are the values of a row; nil is NULL.
func texts(row []*string) [][]byte {
	values := make([][]byte, len(row))
	for i, t := range row {
		if t != nil {
			values[i] = []byte(*t)
		}
	}
	return values
}
