package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/pgbridge/pgbridge/postgres"
)

// floor is how far a sequence must be at least.
type floor struct {
	value  int64
	called bool
}

// above tells whether a sequence has not come that far.
func (f floor) above(s *postgres.Sequence) bool {
	if s.Last == f.value {
		return f.called && !s.Called
	}
	return (s.Last < f.value) == (s.Step > 0)
}

// raise takes in how far a sequence was.
func (x *expecting) raise(c *change) error {
	name, _ := c.values[0].Text()
	text, _ := c.values[1].Text()
	var value int64
	if _, err := fmt.Sscan(text, &value); err != nil {
		return fmt.Errorf("value of sequence %s: %w", name, err)
	}
	x.floors[name] = floor{value, true}
	return nil
}

// sequences finds those that are behind: their next value could be one that was
// given already.
func (r *comparing) sequences(ctx context.Context) error {
	live, err := postgres.Sequences(ctx, r.Tx)
	if err != nil {
		return err
	}
	have := map[string]postgres.Sequence{}
	for _, s := range live {
		have[s.Name.String()] = s
	}
	for _, name := range slices.Sorted(maps.Keys(r.floors)) {
		want := r.floors[name]
		s, ok := have[name]
		if ok && !want.above(&s) {
			continue
		}
		d := Difference{Kind: "behind", Table: name, Columns: []Column{{Name: "value", Had: true, Old: numberText(want.value), Has: ok}}}
		if ok {
			d.Columns[0].New = numberText(s.Last)
		}
		r.differ(d)
	}
	return nil
}

func numberText(n int64) *string {
	text := fmt.Sprint(n)
	return &text
}
