package audit

import (
	"context"

	"github.com/pgbridge/pgbridge/action"
)

// before reads what the rows were at the first moment.
func (f *fold) before(ctx context.Context) error {
	needed := false
	for name, t := range f.tables {
		needed = needed || f.wanted(name) && (len(t.rows) > 0 || t.emptied)
	}
	if !needed {
		return nil
	}
	state := map[action.Name]*past{}
	begin := func(at Position, tx action.Tx) error {
		if f.From.Passed(at.place(), tx) {
			return errStop
		}
		return nil
	}
	err := tell(ctx, f.Chain, begin, func(c *change) error {
		t := f.tables[c.shape.Table]
		if c.shape.Op == action.Schema || t == nil || !f.wanted(c.shape.Table) || len(t.rows) == 0 && !t.emptied {
			return nil
		}
		if state[c.shape.Table] == nil {
			state[c.shape.Table] = &past{folded: t, rows: map[string]image{}, loose: map[string]*count{}, keys: t.earlier()}
		}
		state[c.shape.Table].change(c)
		return nil
	})
	for _, p := range state {
		p.end()
	}
	return err
}

// past is a table up to the first moment: the rows that were written later, or all.
type past struct {
	*folded
	rows  map[string]image
	loose map[string]*count
	keys  map[string]bool // that rows which count had before
}

func (p *past) change(c *change) {
	old, set := c.old(), c.set()
	if len(p.key) == 0 {
		p.changeLoose(c.shape.Op, old, set)
		return
	}
	switch c.shape.Op {
	case action.Truncate, action.Clear:
		clear(p.rows)
	case action.Insert:
		p.keep(set.key(p.key), set)
	case action.Delete:
		delete(p.rows, old.key(p.key))
	case action.Update:
		from, row := old.key(p.key), old.over(set)
		to := row.key(p.key)
		was, ok := p.rows[from]
		if from != to {
			delete(p.rows, from)
		}
		if ok || from != to {
			p.keep(to, was.over(row))
		}
	}
}

// keep keeps a row that counts, or will.
func (p *past) keep(key string, row image) {
	if p.emptied || p.folded.rows[key] != nil || p.keys[key] {
		p.rows[key] = row
	}
}

func (p *past) changeLoose(op action.Op, old, set image) {
	t := folded{loose: p.loose}
	switch op {
	case action.Truncate, action.Clear:
		clear(p.loose)
	case action.Insert:
		t.putLoose(set, 1)
	case action.Delete:
		t.putLoose(old, -1)
	case action.Update:
		t.update(old, old.over(set))
	}
}

// end hands the rows to the net effect.
func (p *past) end() {
	for key, row := range p.rows {
		if p.folded.rows[key] == nil && !p.emptied {
			continue // what another row was
		}
		if p.folded.rows[key] == nil {
			p.folded.rows[key] = &twice{}
		}
		p.folded.rows[key].before = row
	}
	for _, row := range p.folded.rows {
		if from, ok := row.after[origin]; ok {
			delete(row.after, origin)
			row.after = p.rows[from.text].over(row.after)
		}
	}
	if p.emptied {
		for _, c := range p.loose {
			p.folded.putLoose(c.row, -c.n)
		}
	}
}
