package checkpoint

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// Scan returns the states of tables, by several sessions at once. It is for a
// database that nobody writes to: each table is seen at a moment of its own.
// Tables that are not there are not in the answer. Columns count in the order that
// tables gives: pg_dump gives children another one, of columns that they inherited
// late.
func Scan(ctx context.Context, connect func(context.Context) (*pgx.Conn, error), jobs int, tables []postgres.GenesisTable) ([]TableState, error) {
	conn, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	all, err := postgres.Tables(ctx, conn)
	conn.Close(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	all = inOrderOf(tables, all)
	states := make([]TableState, len(all))
	next := make(chan int, len(all))
	for i := range all {
		next <- i
	}
	close(next)
	group, ctx := errgroup.WithContext(ctx)
	for range min(jobs, len(all)) {
		group.Go(func() error {
			conn, err := connect(ctx)
			if err != nil {
				return err
			}
			defer conn.Close(context.WithoutCancel(ctx))
			return scanTables(ctx, conn, all, next, states)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return states, nil
}

// scanTables scans the tables of all whose numbers come from next.
func scanTables(ctx context.Context, conn *pgx.Conn, all []postgres.Table, next <-chan int, states []TableState) error {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return fmt.Errorf("begin reading: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	for i := range next {
		// What code of users that ran in reading may have set would be in the text of values.
		if _, err := tx.Conn().PgConn().Exec(ctx, postgres.Repin(conn.PgConn())).ReadAll(); err != nil {
			return fmt.Errorf("pin the session: %w", err)
		}
		if states[i], err = ScanTable(ctx, tx, all[i]); err != nil {
			return err
		}
	}
	return nil
}

// inOrderOf returns those of all that are among tables, with their columns in that
// order; columns that are not there come after.
func inOrderOf(tables []postgres.GenesisTable, all []postgres.Table) (wanted []postgres.Table) {
	for _, t := range all {
		i := slices.IndexFunc(tables, func(g postgres.GenesisTable) bool { return g.Name == t.Name })
		if i < 0 {
			continue
		}
		place := map[string]int{}
		for n, c := range tables[i].Columns {
			place[c.Name] = n - len(tables[i].Columns)
		}
		t.Columns = slices.Clone(t.Columns)
		slices.SortStableFunc(t.Columns, func(a, b postgres.Column) int { return place[a.Name] - place[b.Name] })
		wanted = append(wanted, t)
	}
	return wanted
}

// Compare scans the tables that c has (those among only, unless that is nil) and
// returns a *StateError that names those that differ from what c says.
func Compare(ctx context.Context, connect func(context.Context) (*pgx.Conn, error), jobs int, c *Checkpoint, only []action.Name) error {
	var want []TableState
	var tables []postgres.GenesisTable
	for _, s := range c.State {
		if only == nil || slices.Contains(only, s.Table) {
			want, tables = append(want, s), append(tables, c.table(s.Table))
		}
	}
	got, err := Scan(ctx, connect, jobs, tables)
	if err != nil {
		return err
	}
	if differ := Differences(want, got); len(differ) > 0 {
		return &StateError{c.Number, differ}
	}
	return nil
}

// table is a table as the manifest describes it.
func (m *Manifest) table(name action.Name) postgres.GenesisTable {
	i := slices.IndexFunc(m.Tables, func(t postgres.GenesisTable) bool { return t.Name == name })
	if i < 0 {
		return postgres.GenesisTable{Name: name}
	}
	return m.Tables[i]
}
