package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// RequireEmpty returns an error that names what is in the database, if anything
// is but extensions and schema pgbridge: nothing is loaded over the work of others.
func RequireEmpty(ctx context.Context, q Querier) error {
	found, err := contents(ctx, q)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("the database is not empty, it has %s: create another one with createdb", summary(found, 3))
}

// contents lists the objects of users in the database: schemas other than public,
// relations, functions and types that no extension made.
func contents(ctx context.Context, q Querier) ([]string, error) {
	const query = `WITH object (kind, class, oid, n, name) AS (
			SELECT 'schema', 'pg_catalog.pg_namespace'::regclass, s.oid, s.oid, '' FROM pg_catalog.pg_namespace s WHERE s.nspname <> 'public'
			UNION ALL SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table'
					ELSE 'table' END, 'pg_catalog.pg_class'::regclass, c.oid, c.relnamespace, c.relname
				FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
			UNION ALL SELECT 'function', 'pg_catalog.pg_proc'::regclass, p.oid, p.pronamespace, p.proname FROM pg_catalog.pg_proc p
			UNION ALL SELECT 'type', 'pg_catalog.pg_type'::regclass, t.oid, t.typnamespace, t.typname FROM pg_catalog.pg_type t
				WHERE t.typtype IN ('d', 'e', 'r') OR t.typtype = 'c' AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
		SELECT o.kind || ' ' || quote_ident(n.nspname) || CASE WHEN o.kind = 'schema' THEN '' ELSE '.' || quote_ident(o.name) END
		FROM object o JOIN pg_catalog.pg_namespace n ON n.oid = o.n
		WHERE ` + userSchema + ` AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
			WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype IN ('e', 'i'))
		ORDER BY o.kind <> 'table', 1 LIMIT 1000`
	rows, err := q.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("look what is in the database: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return found, wrapUnlessNil("look what is in the database", err)
}

// summary lists the first few of some names.
func summary(names []string, limit int) string {
	if len(names) <= limit {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:limit], ", "), len(names)-limit)
}
