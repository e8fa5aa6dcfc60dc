package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/ddl"
	"github.com/pgbridge/pgbridge/postgres"
)

// runSteps makes indexes, constraints and the rest of the post-data: what was not
// made by an earlier Load, each with the note that it is made.
func (l *Loader) runSteps(ctx context.Context, conn *pgx.Conn) error {
	plan, err := l.planSteps(ctx, conn)
	if err != nil {
		return err
	}
	report := l.reportSteps(plan)
	sessions := make([]*maker, l.jobs())
	for i := range sessions {
		session, err := l.worker(ctx, l.connectRows())
		if err != nil {
			return err
		}
		defer session.Close(context.WithoutCancel(ctx))
		sessions[i] = &maker{l, session, l.Executor(session), conn}
	}
	for phase := postgres.PhaseIndexes; phase <= postgres.PhaseRights; phase++ {
		if phase == postgres.PhaseRights {
			if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return postgres.ReturnRights(ctx, tx) }); err != nil {
				return err
			}
		}
		var steps []postgres.Step
		for _, s := range plan.steps {
			if s.Phase == phase && !plan.done[s.Number] {
				steps = append(steps, s)
			}
		}
		use := sessions
		if phase == postgres.PhaseIndexes {
			slices.SortStableFunc(steps, func(a, b postgres.Step) int { return cmp.Compare(plan.tables[b.Table].Size, plan.tables[a.Table].Size) })
		} else if phase != postgres.PhaseForeignKeys {
			use = sessions[:1]
		}
		if err := runBeside(ctx, use, steps, report); err != nil {
			return err
		}
	}
	return nil
}

// stepPlan is what is to be made.
type stepPlan struct {
	steps   []postgres.Step
	done    map[int]bool
	tables  map[string]postgres.Relation
	leftOut []string
}

func (l *Loader) planSteps(ctx context.Context, conn *pgx.Conn) (*stepPlan, error) {
	all, err := l.steps(ctx)
	if err != nil {
		return nil, err
	}
	p := &stepPlan{done: map[int]bool{}}
	if err := p.part(ctx, conn, all, l.Tables); err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, "SELECT step FROM pgbridge.restore_step")
	if err != nil {
		return nil, fmt.Errorf("read what is made: %w", err)
	}
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&n}, func() error { p.done[n] = true; return nil }); err != nil {
		return nil, fmt.Errorf("read what is made: %w", err)
	}
	return p, nil
}

// steps are those of the post-data.
func (l *Loader) steps(ctx context.Context) ([]postgres.Step, error) {
	text, err := l.Library.Text(ctx, l.Checkpoint.PostData)
	if err != nil {
		return nil, fmt.Errorf("schema of checkpoint %d: %w", l.Checkpoint.Number, err)
	}
	return postgres.Steps(text, l.how)
}

// part takes the steps but for the foreign keys of the wanted tables to others.
func (p *stepPlan) part(ctx context.Context, conn *pgx.Conn, all []postgres.Step, wanted []action.Name) (err error) {
	var names []string
	for _, s := range all {
		names = append(names, s.Table, s.References)
	}
	if p.tables, err = postgres.Relations(ctx, conn, slices.DeleteFunc(names, func(n string) bool { return n == "" })); err != nil {
		return err
	}
	for _, s := range all {
		from, to := p.tables[s.Table].Root, p.tables[s.References].Root
		if wanted != nil && s.Phase == postgres.PhaseForeignKeys && slices.Contains(wanted, from) && !slices.Contains(wanted, to) {
			p.leftOut = append(p.leftOut, fmt.Sprintf("foreign key of %s to %s", from, to))
			continue
		}
		p.steps = append(p.steps, s)
	}
	return nil
}

// Part are the steps that can be done where only the wanted tables have rows, and
// a description of each of the others, which are foreign keys. All tables must be
// there.
func Part(ctx context.Context, conn *pgx.Conn, all []postgres.Step, wanted []action.Name) (kept []postgres.Step, leftOut []string, err error) {
	var p stepPlan
	err = p.part(ctx, conn, all, wanted)
	return p.steps, p.leftOut, err
}

// reportSteps returns what to call after each step.
func (l *Loader) reportSteps(p *stepPlan) func() {
	at := LoadReport{Steps: len(p.done), AllSteps: len(p.steps)}
	for _, f := range l.Checkpoint.Files {
		for _, c := range f.Chunks {
			at.Total += c.Size
		}
	}
	at.Done = at.Total
	var mu sync.Mutex
	return func() {
		mu.Lock()
		defer mu.Unlock()
		at.Steps++
		if l.Report != nil {
			l.Report(at)
		}
	}
}

// LeftOut describes what a load of some tables does not make: foreign keys to
// tables whose rows are not loaded. The tables must be there.
func (l *Loader) LeftOut(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	p, err := l.planSteps(ctx, conn)
	if err != nil {
		return nil, err
	}
	return p.leftOut, nil
}

// runBeside executes steps on several sessions at once, in about their order: a
// step that wants a table for itself does not wait for it in a session that could
// do something else.
func runBeside(ctx context.Context, sessions []*maker, steps []postgres.Step, done func()) error {
	group, ctx := errgroup.WithContext(ctx)
	q := &queue{steps: steps, busy: map[string]int{}}
	q.freed.L = &q.mu
	stop := context.AfterFunc(ctx, q.stop)
	defer stop()
	for _, m := range sessions {
		group.Go(func() error {
			for {
				s, ok := q.take()
				if !ok {
					return ctx.Err()
				}
				if err := m.make(ctx, s); err != nil {
					return err
				}
				done()
				q.free(s)
			}
		})
	}
	return group.Wait()
}

// queue hands out steps.
type queue struct {
	mu      sync.Mutex
	freed   sync.Cond
	steps   []postgres.Step
	busy    map[string]int // tables: how many steps are at work on each, or -1 for one alone
	stopped bool
}

// take waits for a step that can be done now; ok is false when there is none left.
func (q *queue) take() (s postgres.Step, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.steps) > 0 && !q.stopped {
		for i, s := range q.steps {
			at := q.busy[s.Table]
			if s.Table != "" && (at < 0 || at > 0 && s.Alone) {
				continue
			}
			q.steps = slices.Delete(slices.Clone(q.steps), i, i+1)
			if q.busy[s.Table]++; s.Alone {
				q.busy[s.Table] = -1
			}
			return s, true
		}
		q.freed.Wait()
	}
	return postgres.Step{}, false
}

func (q *queue) free(s postgres.Step) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy[s.Table]--; s.Alone {
		q.busy[s.Table] = 0
	}
	q.freed.Broadcast()
}

func (q *queue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = true
	q.freed.Broadcast()
}

// stepAttempts is how often a step is tried that others are in the way of.
const stepAttempts = 10

// maker makes what steps say in a session of its own.
type maker struct {
	load *Loader
	conn *pgx.Conn
	exec Executor
	// admin is a session of the role that made the tables. Several makers have it: it is for
	// steps that are executed one after the other.
	admin *pgx.Conn
}

// make makes what a step says and notes it: both, or neither.
func (m *maker) make(ctx context.Context, s postgres.Step) error {
	conn, run := m.conn, m.run
	if s.Role() == "" && ddl.IsOwner(s.Text) { // only an administrator may, and it runs no code
		conn, run = m.admin, postgres.RunStep
	}
	for attempt := 1; ; attempt++ {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if err := run(ctx, tx, s); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "INSERT INTO pgbridge.restore_step (step) VALUES ($1)", s.Number)
			return err
		})
		var refused *pgconn.PgError
		if err == nil || attempt == stepAttempts || !errors.As(err, &refused) || refused.Code != "40P01" && refused.Code != "40001" {
			return err
		}
	}
}

func (m *maker) run(ctx context.Context, tx pgx.Tx, s postgres.Step) error {
	if err := m.load.tune(ctx, m.conn); err != nil {
		return err
	}
	return m.exec.Step(ctx, tx, s)
}

// RefreshViews fills the materialized views that held rows, in the manifest's
// order. Those that are gone since are passed over; the names of those that could
// not be filled are returned with the reasons: a view's query may depend on what
// is not here.
func RefreshViews(ctx context.Context, conn *pgx.Conn, views []action.Name) (failed map[action.Name]error, err error) {
	for _, v := range views {
		var there bool
		const query = `SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass($1) AND relkind = 'm')`
		if err := conn.QueryRow(ctx, query, v.SQL()).Scan(&there); err != nil {
			return nil, fmt.Errorf("look for view %s: %w", v, err)
		}
		if !there {
			continue
		}
		_, err := conn.Exec(ctx, "REFRESH MATERIALIZED VIEW "+v.SQL())
		var refused *pgconn.PgError
		if err != nil && !errors.As(err, &refused) {
			return nil, fmt.Errorf("refresh %s: %w", v, err)
		}
		if err != nil {
			if failed == nil {
				failed = map[action.Name]error{}
			}
			failed[v] = err
		}
	}
	return failed, nil
}
