package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/pgbridge/pgbridge/action"
)

// Sequence is a sequence and where it stands. The next value is Last if it was
// not Called yet, else the one after Last: what setval(name, Last, Called) restores.
type Sequence struct {
	Name   action.Name
	Table  action.Name // that owns it (serial or identity); zero if none does
	Column string
	Type   string // smallint, integer or bigint
	Step   int64
	Last   int64
	Called bool
}

// Sequences lists the sequences of the database, by name, without those of
// extensions, of the system, of pgbridge and temporary ones. Sequences do not
// obey transactions: under a snapshot, too, the values are those of this moment.
// It needs SELECT on each.
func Sequences(ctx context.Context, q Querier) ([]Sequence, error) {
	all, err := listSequences(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("list sequences: %w", err)
	}
	for i := range all {
		s := &all[i]
		err := q.QueryRow(ctx, "SELECT last_value, is_called FROM "+s.Name.SQL()).Scan(&s.Last, &s.Called)
		if err != nil {
			return nil, fmt.Errorf("read sequence %s: %w", s.Name, err)
		}
	}
	return all, nil
}

func listSequences(ctx context.Context, q Querier) ([]Sequence, error) {
	const query = `SELECT n.nspname::text, c.relname::text, format_type(s.seqtypid, NULL), s.seqincrement,
			coalesce(tn.nspname::text, ''), coalesce(t.relname::text, ''), coalesce(a.attname::text, '')
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid
			LEFT JOIN pg_catalog.pg_depend o ON o.classid = 'pg_catalog.pg_class'::regclass AND o.objid = c.oid AND o.objsubid = 0
				AND o.deptype IN ('a', 'i') AND o.refclassid = 'pg_catalog.pg_class'::regclass AND o.refobjsubid > 0
			LEFT JOIN pg_catalog.pg_class t ON t.oid = o.refobjid LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
			LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = o.refobjsubid
		WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND ` + userSchema + ` AND ` + notOfExtension + `
		ORDER BY n.nspname::text COLLATE "C", c.relname::text COLLATE "C"`
	rows, err := q.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (s Sequence, err error) {
		err = row.Scan(&s.Name.Schema, &s.Name.Name, &s.Type, &s.Step, &s.Table.Schema, &s.Table.Name, &s.Column)
		return s, err
	})
}
