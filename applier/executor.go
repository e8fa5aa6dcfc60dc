package applier

import (
	"bytes"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// Executor writes rows and executes statements of a copy of a database in one session. Code
// of users that runs in it has the rights of the role that it belongs to, as when the
// applier does the same, and nothing that it leaves in the session stays there.
//
// Its methods work in the transaction that is open in the session, each call in one of its
// own. The settings that they put back are the pinned ones, session_replication_role =
// replica and synchronous_commit = off. It is not safe for concurrent use.
type Executor struct {
	conn    *pgx.Conn
	runners *runners
	w       writer
	tables  tables
	plans   map[action.Name]*plan
}

// NewExecutor returns an executor of a session of package postgres. What it knows of a table
// it does not read again.
func NewExecutor(conn *pgx.Conn) *Executor {
	run := &runners{conn: conn}
	return &Executor{
		conn: conn, runners: run, w: writer{conn: conn, runners: run}, tables: tables{conn: conn, runners: run},
		plans: map[action.Name]*plan{},
	}
}

// Insert inserts rows, which come as COPY's text format, and returns how many there were:
// by COPY, or as the owner of the table where code of users runs. columns are always the
// same ones of a table.
func (e *Executor) Insert(ctx context.Context, table action.Name, columns []string, text []byte) (int64, error) {
	p, err := e.plan(ctx, table, columns)
	if err != nil {
		return 0, err
	}
	if p.role == "" {
		tag, err := e.conn.PgConn().CopyFrom(ctx, bytes.NewReader(text), p.sql)
		return tag.RowsAffected(), err
	}
	e.runners.begin()
	n, err := e.insertGuarded(ctx, p, text)
	if err != nil {
		return 0, err
	}
	return n, e.runners.finish(ctx)
}

// guardedBatch bounds the text of the rows that one statement inserts, but for one row.
const guardedBatch = 1 << 20

func (e *Executor) insertGuarded(ctx context.Context, p *plan, text []byte) (n int64, err error) {
	width := len(p.shape.Set)
	var values []action.Value
	var places []int
	size := 0
	flush := func() error {
		if len(places) == 0 {
			return nil
		}
		if err := e.w.guarded(ctx, p, values, places); err != nil {
			return err
		}
		n += int64(len(places))
		values, places, size = values[:0], places[:0], 0
		return nil
	}
	rows := postgres.NewCopyReader(bytes.NewReader(text), width)
	for rows.Next() {
		places = append(places, len(values))
		for _, v := range rows.Values() {
			values = append(values, escaped(v))
			size += len(v)
		}
		if size >= guardedBatch || len(places) >= guardedBatch/64 {
			if err := flush(); err != nil {
				return n, err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return n, fmt.Errorf("read rows: %w", err)
	}
	return n, flush()
}

// escaped is a copy of a value as the values of a record are written.
func escaped(v []byte) action.Value {
	if v == nil {
		return nil
	}
	return append(action.Value{}, bytes.ReplaceAll(v, []byte(`\`), []byte(`\\`))...)
}

func (e *Executor) plan(ctx context.Context, name action.Name, columns []string) (*plan, error) {
	if p := e.plans[name]; p != nil {
		return p, nil
	}
	tab, err := e.tables.get(ctx, name)
	if err != nil {
		return nil, err
	}
	shape := action.NewShape(action.Insert, name, nil, columns)
	if err := tab.check(shape); err != nil {
		return nil, err
	}
	p := newPlan(shape, tab)
	if err := p.check(); err != nil {
		return nil, err
	}
	e.plans[name] = p
	return p, nil
}

// Step executes a step of a post-data as its role, in the transaction of the session.
func (e *Executor) Step(ctx context.Context, tx pgx.Tx, s postgres.Step) error {
	e.runners.begin()
	if err := e.runners.step(ctx, tx, s); err != nil {
		return err
	}
	return e.runners.finish(ctx)
}
