package checkpoint

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
)

// loadViews lists the materialized views that hold rows, each after those that it
// reads, be it through other views.
func loadViews(ctx context.Context, tx pgx.Tx) ([]action.Name, error) {
	const query = `SELECT c.oid, n.nspname::text, c.relname::text, c.relkind = 'm' AND c.relispopulated, ARRAY(
			SELECT DISTINCT d.refobjid::int8 FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_depend d
				ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass
			WHERE r.ev_class = c.oid AND d.refobjid <> c.oid ORDER BY 1)
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('v', 'm') AND left(n.nspname, 3) <> 'pg_' AND n.nspname NOT IN ('information_schema', 'pgbridge')
		ORDER BY n.nspname::text COLLATE "C", c.relname::text COLLATE "C"`
	rows, err := tx.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("list materialized views: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (v view, err error) {
		return v, row.Scan(&v.oid, &v.name.Schema, &v.name.Name, &v.filled, &v.reads)
	})
	if err != nil {
		return nil, fmt.Errorf("list materialized views: %w", err)
	}
	return inOrder(all), nil
}

type view struct {
	oid    uint32
	name   action.Name
	filled bool    // materialized, with rows
	reads  []int64 // relations
}

// inOrder names those that are filled, each after what it reads.
func inOrder(all []view) []action.Name {
	byOID := make(map[int64]*view, len(all))
	for i := range all {
		byOID[int64(all[i].oid)] = &all[i]
	}
	names := []action.Name{}
	seen := map[*view]bool{}
	var visit func(*view)
	visit = func(v *view) {
		if v == nil || seen[v] {
			return
		}
		seen[v] = true
		for _, oid := range v.reads {
			visit(byOID[oid])
		}
		if v.filled {
			names = append(names, v.name)
		}
	}
	for i := range all {
		visit(&all[i])
	}
	return names
}
