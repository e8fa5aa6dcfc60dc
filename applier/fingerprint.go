package applier

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/postgres"
)

// ErrSchema: the schema here is not the one that a record is written against.
var ErrSchema = errors.New("the schema here is not the one that the records are written against")

// shapes computes the digest of each table once, however the planner joins them.
const shapes = "WITH shape AS MATERIALIZED (SELECT table_name, digest FROM pgbridge.shape) "

// checkTables returns ErrSchema, with the name of a table, if somebody changed
// its columns here after the stream did. Of a database in which nothing
// was remembered yet, what is there is remembered.
func checkTables(ctx context.Context, q postgres.Querier) error {
	rows, err := q.Query(ctx, shapes+`SELECT f.table_name FROM pgbridge.fingerprint f LEFT JOIN shape s USING (table_name)
		WHERE f.digest <> coalesce(s.digest, '') ORDER BY 1 LIMIT 1`)
	if err != nil {
		return fmt.Errorf("look at the tables: %w", err)
	}
	changed, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look at the tables: %w", err)
	}
	if len(changed) > 0 {
		return fmt.Errorf("%w: the columns of %s were changed here, or it is gone: undo that; or, to go on with it as it is, UPDATE pgbridge.fingerprint SET digest = NULL WHERE table_name = '%s'",
			ErrSchema, changed[0], strings.ReplaceAll(changed[0], "'", "''"))
	}
	_, err = q.Exec(ctx, `INSERT INTO pgbridge.fingerprint SELECT table_name, digest FROM pgbridge.shape
		WHERE NOT EXISTS (SELECT FROM pgbridge.fingerprint) ON CONFLICT DO NOTHING`)
	if err != nil {
		return fmt.Errorf("remember the tables: %w", err)
	}
	return nil
}

// ownTables are those that the stream knows nothing of.
func ownTables(ctx context.Context, q postgres.Querier) ([]string, error) {
	rows, err := q.Query(ctx, "SELECT table_name FROM pgbridge.shape EXCEPT SELECT table_name FROM pgbridge.fingerprint")
	if err != nil {
		return nil, fmt.Errorf("look at the tables: %w", err)
	}
	own, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look at the tables: %w", err)
	}
	return own, nil
}

// keepTables remembers the tables as they are, but for own ones.
func keepTables(ctx context.Context, q postgres.Querier, own []string) error {
	if own == nil {
		own = []string{}
	}
	_, err := q.Exec(ctx, shapes+`, gone AS (DELETE FROM pgbridge.fingerprint f WHERE NOT EXISTS (SELECT FROM shape s WHERE s.table_name = f.table_name))
		INSERT INTO pgbridge.fingerprint AS f SELECT table_name, digest FROM shape WHERE table_name <> ALL ($1)
		ON CONFLICT (table_name) DO UPDATE SET digest = excluded.digest WHERE f.digest IS DISTINCT FROM excluded.digest`, own)
	if err != nil {
		return fmt.Errorf("remember the tables: %w", err)
	}
	return nil
}
