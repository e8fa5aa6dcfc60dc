package applier

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgbridge/pgbridge/action"
)

// segment is function actions that follow each other: what to call, and what
// that is to do. It may span transactions; it never spans anything else.
type segment struct {
	runs    []callRun
	effects map[action.Name]*effect
	values  []action.Value // arena of the runs
}

// callRun are calls of one function that follow each other: the places, in the
// arena, where the values of each begin.
type callRun struct {
	plan *callPlan
	at   []int
}

func (g *segment) empty() bool { return len(g.runs) == 0 }

func (g *segment) reset() {
	g.runs, g.values = g.runs[:0], g.values[:0]
	clear(g.effects)
}

// call adds a call with the values of a row.
func (g *segment) call(p *callPlan, values []action.Value) {
	at := len(g.values)
	g.values = append(g.values, values...)
	if n := len(g.runs); n > 0 && g.runs[n-1].plan == p {
		g.runs[n-1].at = append(g.runs[n-1].at, at)
		return
	}
	g.runs = append(g.runs, callRun{p, []int{at}})
}

// effect is what the calls are to do to t.
func (g *segment) effect(t *table) *effect {
	if g.effects == nil {
		g.effects = map[action.Name]*effect{}
	}
	e := g.effects[t.name]
	if e == nil {
		e = newEffect(t)
		g.effects[t.name] = e
	}
	return e
}

// callTimeout bounds the calls of a segment.
const callTimeout = "5min"

// runSegment calls the functions, and compares what they did with what they did
// at their origin: how many rows of which tables were written, and each of these
// rows in the end.
func (t *target) runSegment(ctx context.Context) error {
	if t.segment.empty() {
		return nil
	}
	defer t.segment.reset()
	for name := range t.segment.effects {
		t.counters.add(name)
	}
	before, err := t.counters.read(ctx)
	if err != nil {
		return err
	}
	for _, r := range t.segment.runs {
		if err := t.call(ctx, r); err != nil {
			return fmt.Errorf("call %s: %w", r.plan.shape.Action(), err)
		}
	}
	t.called = append(t.called, t.segment.names()...)
	after, err := t.counters.read(ctx)
	if err != nil {
		return err
	}
	if err := t.compareCounts(before, after); err != nil {
		return t.withRow(ctx, err)
	}
	for _, name := range t.segment.tables() {
		if err := t.compareRows(ctx, t.segment.effects[name]); err != nil {
			return err
		}
	}
	return nil
}

// settle runs, before the commit, the deferred triggers of what was called. What
// they wrote at the origin lies behind the calls and is in the stream as rows of
// its own, so here they may write nothing.
func (t *target) settle(ctx context.Context) error {
	if len(t.called) == 0 {
		return nil
	}
	slices.Sort(t.called)
	called := slices.Compact(t.called)
	t.called = nil
	before, err := t.counters.read(ctx)
	if err != nil {
		return err
	}
	if err := t.runners.constraints(ctx, "IMMEDIATE"); err != nil {
		return err
	}
	after, err := t.counters.read(ctx)
	if err != nil {
		return err
	}
	for name, sum := range after {
		if did := sum.sub(before[name]); did != (counts{}) {
			return &EffectError{Actions: called, Text: fmt.Sprintf("rows of %s: %s by deferred triggers, which is no part of a call (replay => 'rows')", name, did)}
		}
	}
	return nil
}

// tables are those that the calls change, in order.
func (g *segment) tables() []action.Name {
	names := make([]action.Name, 0, len(g.effects))
	for name := range g.effects {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b action.Name) int { return strings.Compare(a.String(), b.String()) })
	return names
}

// names are the distinct names of the actions.
func (g *segment) names() (all []string) {
	for _, r := range g.runs {
		if name := r.plan.shape.Action(); !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// call calls a function for each row of a run, as the origin did: a call with
// its triggers, a mapped change without, for what they did there is in the
// stream as rows of its own.
func (t *target) call(ctx context.Context, r callRun) error {
	role := "replica"
	if r.plan.shape.Op == action.Call {
		role = "origin"
	}
	if err := t.runners.prepareCall(ctx, r.plan.role, role, action.QuoteIdent(r.plan.shape.Function.Schema)+", public"); err != nil {
		return err
	}
	if r.plan.role == "" {
		if err := t.w.call(ctx, r.plan, t.segment.values, r.at); err != nil {
			return err
		}
		return t.runners.ran(ctx)
	}
	args := appendTextMatrix(nil, t.segment.values, r.at, r.plan.params)
	if len(r.plan.params) == 0 {
		args = countArgument(len(r.at))
	}
	n, err := t.runners.run(ctx, r.plan.role, r.plan.sql, args)
	if err == nil && n != int64(len(r.at)) {
		err = fmt.Errorf("called %d times, want %d", n, len(r.at))
	}
	return err
}

// call executes one statement that calls the function for each row.
func (w *writer) call(ctx context.Context, p *callPlan, values []action.Value, rows []int) error {
	w.bind(p.params, values, rows)
	if len(p.params) == 0 {
		w.args = append(w.args, fmt.Append(nil, len(rows)))
	}
	name, err := w.prepare(ctx, p.sql)
	if err != nil {
		return err
	}
	formats := []int16{1}
	if len(p.params) == 0 {
		formats = nil
	}
	tag, err := w.conn.PgConn().ExecPrepared(ctx, name, w.args, formats, nil).Close()
	if err != nil {
		return err
	}
	if tag.RowsAffected() != int64(len(rows)) {
		return fmt.Errorf("called %d times, want %d", tag.RowsAffected(), len(rows))
	}
	return nil
}
