package applier

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
)

// counters read how many rows of each published table this session has written
// since it began the transaction. The server may still count a transaction
// before it, so only differences mean anything. Rows that a rolled back
// subtransaction wrote count too. A partition counts as its root.
type counters struct {
	conn   *pgx.Conn
	tables []action.Name
	oids   []uint32 // of the tables and of their partitions; nil until read
	names  []action.Name
}

const countedQuery = `SELECT c.oid, n.nspname, r.relname FROM unnest($1::text[], $2::text[]) t (schema, name)
	JOIN pg_namespace n ON n.nspname = t.schema JOIN pg_class r ON r.relnamespace = n.oid AND r.relname = t.name AND NOT r.relispartition
	CROSS JOIN LATERAL (SELECT r.oid WHERE r.relkind = 'r' UNION ALL SELECT relid FROM pg_partition_tree(r.oid) WHERE r.relkind = 'p' AND isleaf) c`

const countersQuery = `SELECT * FROM (SELECT n, pg_stat_get_xact_tuples_inserted(oid), pg_stat_get_xact_tuples_updated(oid), pg_stat_get_xact_tuples_deleted(oid)
	FROM unnest($1::oid[]) WITH ORDINALITY t (oid, n)) c (n, i, u, d) WHERE i + u + d > 0`

// read returns what was written to each table.
func (c *counters) read(ctx context.Context) (map[action.Name]counts, error) {
	if c.oids == nil {
		if err := c.look(ctx); err != nil {
			return nil, err
		}
	}
	rows, err := c.conn.Query(ctx, countersQuery, c.oids)
	if err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	all := map[action.Name]counts{}
	var n int
	var one counts
	_, err = pgx.ForEachRow(rows, []any{&n, &one.inserted, &one.updated, &one.deleted}, func() error {
		sum := all[c.names[n-1]]
		all[c.names[n-1]] = counts{sum.inserted + one.inserted, sum.updated + one.updated, sum.deleted + one.deleted}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	return all, nil
}

// add counts a table that was not there in the beginning.
func (c *counters) add(table action.Name) {
	if !slices.Contains(c.tables, table) {
		c.tables = append(slices.Clip(c.tables), table)
		c.forget()
	}
}

// forget makes the next read find the tables again.
func (c *counters) forget() { c.oids, c.names = nil, nil }

// look finds the tables.
func (c *counters) look(ctx context.Context) error {
	schemas, names := make([]string, len(c.tables)), make([]string, len(c.tables))
	for i, t := range c.tables {
		schemas[i], names[i] = t.Schema, t.Name
	}
	rows, err := c.conn.Query(ctx, countedQuery, schemas, names)
	if err != nil {
		return fmt.Errorf("look up tables: %w", err)
	}
	c.oids = []uint32{}
	var oid uint32
	var name action.Name
	_, err = pgx.ForEachRow(rows, []any{&oid, &name.Schema, &name.Name}, func() error {
		c.oids, c.names = append(c.oids, oid), append(c.names, name)
		return nil
	})
	if err != nil {
		return fmt.Errorf("look up tables: %w", err)
	}
	return nil
}
