package checkpoint

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/sql"
)

// Scan returns the states of tables, by several sessions at once. It is for a
// database that nobody writes to: each table is seen at a moment of its own.
// Tables that are not there are not in the answer.
func Scan(ctx context.Context, connect func(context.Context) (*pgx.Conn, error), jobs int, tables []action.Name) ([]TableState, error) {
	conn, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	all, err := sql.Tables(ctx, conn)
	conn.Close(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(t sql.Table) bool { return !slices.Contains(tables, t.Name) })
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
			return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
				for i := range next {
					var err error
					if states[i], err = ScanTable(ctx, tx, all[i]); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return states, nil
}

// Compare scans the tables that c has (those among only, unless that is nil) and
// returns a *StateError that names those that differ from what c says.
func Compare(ctx context.Context, connect func(context.Context) (*pgx.Conn, error), jobs int, c *Checkpoint, only []action.Name) error {
	var want []TableState
	var names []action.Name
	for _, s := range c.State {
		if only == nil || slices.Contains(only, s.Table) {
			want, names = append(want, s), append(names, s.Table)
		}
	}
	got, err := Scan(ctx, connect, jobs, names)
	if err != nil {
		return err
	}
	if differ := Differences(want, got); len(differ) > 0 {
		return &StateError{c.Number, differ}
	}
	return nil
}
