package checkpoint

import (
	"context"
	"fmt"

	"github.com/pgbridge/pgbridge/postgres"
)

// fingerprint is another one after any change of the schema, a table that was
// rewritten or truncated included. What is refreshed or rebuilt without a change
// of its definition counts by its name.
func fingerprint(ctx context.Context, q postgres.Querier) (string, error) {
	const query = `WITH rel AS (
			SELECT c.oid, CASE WHEN c.relkind IN ('m', 'i', 'I') THEN concat(c.relnamespace, ' ', c.relname) ELSE c.xmin::text END AS version
			FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			WHERE left(n.nspname, 3) <> 'pg_' AND n.nspname NOT IN ('information_schema', 'pgbridge')),
		versions AS (
			SELECT 1, oid::text, version FROM rel
			UNION ALL SELECT 2, concat(attrelid, ' ', attnum), a.xmin::text FROM pg_catalog.pg_attribute a JOIN rel ON a.attrelid = rel.oid
			UNION ALL SELECT 3, d.oid::text, d.xmin::text FROM pg_catalog.pg_attrdef d JOIN rel ON d.adrelid = rel.oid
			UNION ALL SELECT 4, i.indexrelid::text, i.xmin::text FROM pg_catalog.pg_index i JOIN rel ON i.indrelid = rel.oid
			UNION ALL SELECT 5, r.oid::text, r.xmin::text FROM pg_catalog.pg_rewrite r JOIN rel ON r.ev_class = rel.oid
			UNION ALL SELECT 6, t.oid::text, t.xmin::text FROM pg_catalog.pg_trigger t JOIN rel ON t.tgrelid = rel.oid
			UNION ALL SELECT 7, concat(inhrelid, ' ', inhparent), h.xmin::text FROM pg_catalog.pg_inherits h JOIN rel ON h.inhrelid = rel.oid
			UNION ALL SELECT 8, s.seqrelid::text, s.xmin::text FROM pg_catalog.pg_sequence s JOIN rel ON s.seqrelid = rel.oid
			UNION ALL SELECT 9, p.oid::text, p.xmin::text FROM pg_catalog.pg_policy p JOIN rel ON p.polrelid = rel.oid
			UNION ALL SELECT 10, c.oid::text, c.xmin::text FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace
				WHERE left(n.nspname, 3) <> 'pg_'
			UNION ALL SELECT 11, t.oid::text, t.xmin::text FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
				WHERE left(n.nspname, 3) <> 'pg_' AND t.oid >= 16384
			UNION ALL SELECT 12, p.oid::text, p.xmin::text FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
				WHERE left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'pgbridge' AND p.oid >= 16384
			UNION ALL SELECT 13, e.oid::text, e.xmin::text FROM pg_catalog.pg_enum e
			UNION ALL SELECT 14, n.oid::text, n.xmin::text FROM pg_catalog.pg_namespace n WHERE left(n.nspname, 3) <> 'pg_')
		SELECT coalesce(md5(string_agg(concat_ws(' ', v.*), ';' ORDER BY v.*)), '') FROM versions v`
	var text string
	if err := q.QueryRow(ctx, query).Scan(&text); err != nil {
		return "", fmt.Errorf("look for changes of the schema: %w", err)
	}
	return text, nil
}
