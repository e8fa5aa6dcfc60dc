package publisher

import (
	"encoding/json"
	"fmt"
	"maps"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// naming gives changes their names: by the definitions that are in force at
// the commit which is read, not at the moment of reading.
type naming struct {
	texts  postgres.Definitions
	rules  action.Definitions
	mapped map[*action.Shape]*action.Shape
	calls  map[string]*action.Shape
}

// maxNamed bounds what naming remembers of shapes.
const maxNamed = 4096

func newNaming(texts postgres.Definitions) (*naming, error) {
	rules, err := texts.Parse()
	if err != nil {
		return nil, err
	}
	n := &naming{texts: postgres.Definitions{}, rules: rules}
	maps.Copy(n.texts, texts)
	return n, nil
}

// definition is the payload of a mark: what an action is from now on. The text
// is null where it is dropped.
type definition struct {
	name string
	text json.RawMessage
}

func (d *definition) UnmarshalJSON(b []byte) error {
	return unmarshalArray(b, &d.name, &d.text)
}

func (d *definition) dropped() bool { return string(d.text) == "null" }

// values are the row of the action that tells peers.
func (d *definition) values() [][]byte {
	if d.dropped() {
		return [][]byte{[]byte(d.name), nil}
	}
	return [][]byte{[]byte(d.name), d.text}
}

// define puts a definition into force.
func (n *naming) define(d definition) error {
	name, err := action.ParseName(d.name)
	if err != nil {
		return fmt.Errorf("definition of an action: %w", err)
	}
	n.texts = maps.Clone(n.texts) // a batch may hold the old ones
	n.mapped = nil
	if d.dropped() {
		delete(n.texts, d.name)
		delete(n.rules, name)
		return nil
	}
	def, err := action.ParseDefinition(d.text)
	if err != nil {
		return err
	}
	n.texts[d.name], n.rules[name] = d.text, def
	return nil
}

// name returns the shape that names rows of s.
func (n *naming) name(s *action.Shape) *action.Shape {
	if n == nil || len(n.rules) == 0 {
		return s
	}
	if m := n.mapped[s]; m != nil {
		return m
	}
	if n.mapped == nil || len(n.mapped) >= maxNamed {
		n.mapped = map[*action.Shape]*action.Shape{}
	}
	m := n.rules.Map(s)
	n.mapped[s] = m
	return m
}

// call reads the payload of a mark that begins a call.
func (n *naming) call(payload []byte) (*action.Shape, [][]byte, error) {
	var name string
	var params json.RawMessage
	var given []*string
	if err := unmarshalArray(payload, &name, &params, &given); err != nil {
		return nil, nil, fmt.Errorf("mark of a call: %w", err)
	}
	s := n.calls[name+string(params)]
	if s == nil {
		function, err := action.ParseName(name)
		if err != nil {
			return nil, nil, fmt.Errorf("mark of a call: %w", err)
		}
		var names []string
		if err := json.Unmarshal(params, &names); err != nil {
			return nil, nil, fmt.Errorf("mark of a call of %s: %w", name, err)
		}
		if n.calls == nil || len(n.calls) >= maxNamed {
			n.calls = map[string]*action.Shape{}
		}
		s = action.NewCall(function, names)
		n.calls[name+string(params)] = s
	}
	if len(given) != s.Width() {
		return nil, nil, fmt.Errorf("mark of a call of %s: %d values for %d parameters", name, len(given), s.Width())
	}
	return s, texts(given), nil
}

// unmarshalArray reads a JSON array of as many elements as there are places.
func unmarshalArray(b []byte, places ...any) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(b, &parts); err != nil {
		return err
	}
	if len(parts) != len(places) {
		return fmt.Errorf("%d elements, want %d", len(parts), len(places))
	}
	for i, part := range parts {
		if err := json.Unmarshal(part, places[i]); err != nil {
			return err
		}
	}
	return nil
}
