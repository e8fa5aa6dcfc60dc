package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// History is the life of one row, from the chain alone: memory is for the row,
// and for the changes of keys in its table.
type History struct {
	Chain   Chain
	Genesis *postgres.Genesis
	Table   action.Name
	// Key finds the row: a value for each column of the table's key. Of a table
	// without a key, all rows with these values are told of.
	Key []Value
}

// Event is one thing that happened to the row.
type Event struct {
	Position
	Copied bool `json:"copied,omitempty"` // the row was there before the chain
	// Operation is insert, update, delete, truncate, clear (all rows of the table
	// were written anew, and follow), or schema.
	Operation string  `json:"operation"`
	Key       []Value `json:"key,omitempty"` // of the row, before the change
	// Action is the named action that did it, with its parameters.
	Action string  `json:"action,omitempty"`
	Params []Value `json:"params,omitempty"`
	// Columns are those that have another value than before, or, where the value
	// before is not known, that were written.
	Columns []Column `json:"columns,omitempty"`
	// Statement is the statement of a schema event that names the table.
	Statement string `json:"statement,omitempty"`
}

// maxEvents is how many events are kept until it is known that the row had no
// other key before. Beyond, the chain is read again.
const maxEvents = 10_000

// Run calls do for each event, in order. Where the row once had another key, its
// life under that key is told too. The chain is read once, or twice.
func (h *History) Run(ctx context.Context, do func(*Event) error) error {
	key, err := h.find()
	if err != nil {
		return err
	}
	var events []*Event
	first := newLife(h, key, nil)
	first.emit = func(e *Event) error {
		if len(events) <= maxEvents {
			events = append(events, e)
		}
		return nil
	}
	if err := tell(ctx, h.Chain, nil, first.change); err != nil {
		return err
	}
	names := earlier(first.moves, first.key)
	if len(names) > 0 || len(events) > maxEvents {
		again := newLife(h, key, names)
		again.emit = do
		return tell(ctx, h.Chain, nil, again.change)
	}
	for _, e := range events {
		if err := do(e); err != nil {
			return err
		}
	}
	return nil
}

// find is the key of the table: nil if it has none, or is not known to have one.
func (h *History) find() ([]string, error) {
	if len(h.Key) == 0 {
		return nil, errors.New("which row? give the value of its key, or column=value for each column of it")
	}
	for _, t := range h.Genesis.Tables {
		if t.Name != h.Table || len(t.Key) == 0 {
			continue
		}
		for _, name := range t.Key {
			if !slices.ContainsFunc(h.Key, func(v Value) bool { return v.Name == name }) {
				return nil, fmt.Errorf("the key of %s is %s: give a value for each, as column=value", h.Table, strings.Join(t.Key, ", "))
			}
		}
		if len(h.Key) > len(t.Key) {
			return nil, fmt.Errorf("the key of %s is %s: other columns do not find a row", h.Table, strings.Join(t.Key, ", "))
		}
		return t.Key, nil
	}
	return nil, nil
}
