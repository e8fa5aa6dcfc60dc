package applier

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
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

// EffectError: a function did something else here than at its origin. Text says
// where; it holds no values. Detail has them, for who may read the database.
type EffectError struct {
	Actions []string
	Text    string
	Detail  *Difference
}

func (e *EffectError) Error() string {
	return fmt.Sprintf("%s has not the signed effect here: %s", strings.Join(e.Actions, ", "), e.Text)
}

// Difference is one row that is not as the record says. Key and the values are
// by column; a nil Want or Got stands for no row.
type Difference struct {
	Table string             `json:"table"`
	Key   map[string]*string `json:"key,omitempty"`
	Want  map[string]*string `json:"want"`
	Got   map[string]*string `json:"got"`
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
	before, err := t.counters.read(ctx)
	if err != nil {
		return err
	}
	for _, r := range t.segment.runs {
		if err := t.call(ctx, r); err != nil {
			return fmt.Errorf("call %s: %w", r.plan.shape.Action(), err)
		}
	}
	after, err := t.counters.read(ctx)
	if err != nil {
		return err
	}
	if err := t.compareCounts(before, after); err != nil {
		return err
	}
	for _, name := range t.segment.tables() {
		if err := t.compareRows(ctx, t.segment.effects[name]); err != nil {
			return err
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
	if err := t.setLocal(ctx, role, callTimeout, action.QuoteIdent(r.plan.shape.Function.Schema)+", public"); err != nil {
		return err
	}
	if err := t.w.call(ctx, r.plan, t.segment.values, r.at); err != nil {
		return err
	}
	return t.setLocal(ctx, "replica", "0", "")
}

func (t *target) setLocal(ctx context.Context, role, timeout, path string) error {
	_, err := t.conn.Exec(ctx, `SELECT set_config('session_replication_role', $1, true), set_config('statement_timeout', $2, true), set_config('search_path', $3, true)`,
		role, timeout, path)
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

func (t *target) compareCounts(before, after map[action.Name]counts) error {
	names := t.segment.tables()
	for name := range after {
		if t.segment.effects[name] == nil {
			names = append(names, name)
		}
	}
	for _, name := range names {
		did, want := after[name].sub(before[name]), counts{}
		if e := t.segment.effects[name]; e != nil {
			want = e.counts
		}
		if did != want {
			return t.different(nil, "rows of %s: %s, the record says %s", name, did, want)
		}
	}
	return nil
}

func (t *target) different(detail *Difference, format string, args ...any) error {
	return &EffectError{Actions: t.segment.names(), Text: fmt.Sprintf(format, args...), Detail: detail}
}

// compareRows compares the rows of one table.
func (t *target) compareRows(ctx context.Context, e *effect) error {
	if len(e.table.key) == 0 {
		return t.compareLoose(ctx, e)
	}
	keys, places := make([]action.Value, 0, len(e.rows)*len(e.table.key)), make([]int, len(e.rows))
	for i := range e.rows {
		places[i] = len(keys)
		for _, c := range e.table.key {
			keys = append(keys, e.rows[i].values[e.table.position[c]])
		}
	}
	t.w.bind(upTo(len(e.table.key)), keys, places)
	name, err := t.w.prepare(ctx, e.table.look())
	if err != nil {
		return fmt.Errorf("compare %s: %w", e.table.name, err)
	}
	result := t.conn.PgConn().ExecPrepared(ctx, name, t.w.args, []int16{1}, nil)
	found := make([]bool, len(e.rows))
	var differ error
	for result.NextRow() {
		if differ == nil {
			differ = t.compareRow(e, found, result.Values())
		}
	}
	if _, err := result.Close(); err != nil {
		return fmt.Errorf("compare %s: %w", e.table.name, err)
	}
	if differ != nil {
		return differ
	}
	for i := range e.rows {
		if !found[i] && !e.rows[i].gone {
			d := e.difference(&e.rows[i])
			return t.different(d, "a row of %s is not there", e.table.name)
		}
	}
	return nil
}

// compareRow compares one row that was found: its number, whether it was
// written here, and its columns.
func (t *target) compareRow(e *effect, found []bool, row [][]byte) error {
	n, err := strconv.Atoi(string(row[0]))
	if err != nil || n < 1 || n > len(found) {
		return errors.New("compare: a row without a number")
	}
	want := &e.rows[n-1]
	found[n-1] = true
	got := row[2:]
	d := e.difference(want)
	d.Got = map[string]*string{}
	if want.gone {
		return t.different(d, "a row of %s is there, the record says it is gone", e.table.name)
	}
	var columns []string
	for i, c := range e.table.columns {
		if !want.known[i] || same(got[i], want.values[i]) {
			continue
		}
		columns = append(columns, c)
		d.Got[c] = textOf(got[i])
	}
	switch {
	case len(columns) > 0:
		return t.different(d, "a row of %s differs in %s", e.table.name, strings.Join(columns, ", "))
	case string(row[1]) != "t":
		return t.different(d, "a row of %s was not written, the record says it was", e.table.name)
	}
	return nil
}

// same compares the server's text with a value of a record.
func same(got []byte, want action.Value) bool {
	if got == nil || want == nil {
		return got == nil && want == nil
	}
	return bytes.Equal(got, want.AppendText(make([]byte, 0, 64)))
}

func textOf(b []byte) *string {
	if b == nil {
		return nil
	}
	s := string(b)
	return &s
}

// difference begins the description of a row.
func (e *effect) difference(want *image) *Difference {
	d := &Difference{Table: e.table.name.String(), Key: map[string]*string{}}
	for _, c := range e.table.key {
		v, _ := want.values[e.table.position[c]].Text()
		d.Key[c] = &v
	}
	if want.gone {
		return d
	}
	d.Want = map[string]*string{}
	for i, c := range e.table.columns {
		if want.known[i] {
			d.Want[c] = nil
			if v, ok := want.values[i].Text(); ok {
				d.Want[c] = &v
			}
		}
	}
	return d
}

// compareLoose looks for whole rows of a table without a key.
func (t *target) compareLoose(ctx context.Context, e *effect) error {
	var values []action.Value
	var places []int
	for _, row := range e.loose {
		for range row.more {
			places = append(places, len(values))
			values = append(values, row.values...)
		}
	}
	t.w.bind(upTo(len(e.table.columns)), values, places)
	name, err := t.w.prepare(ctx, e.table.missing())
	if err != nil {
		return fmt.Errorf("compare %s: %w", e.table.name, err)
	}
	result := t.conn.PgConn().ExecPrepared(ctx, name, t.w.args, []int16{1}, nil).Read()
	if result.Err != nil {
		return fmt.Errorf("compare %s: %w", e.table.name, result.Err)
	}
	if missing := string(result.Rows[0][0]); missing != "0" {
		return t.different(&Difference{Table: e.table.name.String()}, "%s rows of %s are not there", missing, e.table.name)
	}
	return nil
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}
