package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Names of users in sessions of the bridge.
//
// A name means what it means at the moment when the server looks it up. The owner of a
// schema can rename it, even while a table in it is locked, and put a view of the same
// name in the place of a table or sequence; who reads that view runs its functions, with
// his own rights (CVE-2024-7348). So a session of the bridge
//
//   - refers to an object by oid wherever the server has a function for that;
//   - reads by name only in a transaction after restrictReading, so that the server
//     refuses views and foreign tables (servers know this since August 2024);
//   - and believes what it has read only after RequireRead, or a comparison of tableoid,
//     has shown that the name meant what was to be read.
//
// It waits for a lock of a user's only with a lock_timeout, unless an open transaction of
// the user must be waited for.

// ErrRenamed says that a name of a user no longer means what it meant when the catalogue
// was read. To try again is safe.
var ErrRenamed = errors.New("a table or sequence was renamed, or its schema was")

// orRenamed adds ErrRenamed to the server's error that a name has no meaning any more.
func orRenamed(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && (refused.Code == "42P01" || refused.Code == "3F000") {
		return fmt.Errorf("%w: %w", ErrRenamed, err)
	}
	return err
}

// restrictReading makes the server refuse to read views and foreign tables of users until
// the transaction ends.
func restrictReading(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `SELECT pg_catalog.set_config(name, 'view, foreign-table', true) FROM pg_catalog.pg_settings
		WHERE name = 'restrict_nonsystem_relation_kind'`)
	return wrapUnlessNil("restrict reading to tables", err)
}

// RequireRead returns ErrRenamed if tx has read, or locked, anything else than these
// tables, their partitions, sequences, and what belongs to schema pgbridge or the system.
// The server keeps a lock on everything that a transaction has read until it ends.
func RequireRead(ctx context.Context, tx pgx.Tx, tables []Table) error {
	const query = `WITH RECURSIVE wanted AS (
			SELECT pg_catalog.unnest($1::pg_catalog.oid[]) AS oid
			UNION SELECT i.inhrelid FROM wanted JOIN pg_catalog.pg_inherits i ON i.inhparent = wanted.oid)
		SELECT coalesce(min(o.identity), '') FROM pg_catalog.pg_locks l
			CROSS JOIN LATERAL pg_catalog.pg_identify_object('pg_catalog.pg_class'::pg_catalog.regclass, l.relation, 0) o
		WHERE l.locktype = 'relation' AND l.pid = pg_catalog.pg_backend_pid() AND l.relation >= 16384
			AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
			AND o.type NOT IN ('index', 'toast table', 'sequence') AND o.schema <> 'pgbridge'
			AND l.relation NOT IN (SELECT oid FROM wanted)`
	oids := make([]uint32, len(tables))
	for i, t := range tables {
		oids[i] = t.OID
	}
	var other string
	if err := tx.QueryRow(ctx, query, oids).Scan(&other); err != nil {
		return fmt.Errorf("look at what was read: %w", err)
	}
	if other != "" {
		return fmt.Errorf("%w: %s was read in the place of a published table: try again", ErrRenamed, other)
	}
	return nil
}

// RequirePublished returns ErrRenamed unless these tables are in the publication, which was
// made by their names.
func RequirePublished(ctx context.Context, q Querier, publication string, tables []Table) error {
	oids := make([]uint32, len(tables))
	for i, t := range tables {
		oids[i] = t.OID
	}
	const query = `SELECT count(*) = cardinality($2::pg_catalog.oid[])
		FROM pg_catalog.pg_publication p JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid
		WHERE p.pubname = $1 AND r.prrelid = ANY ($2::pg_catalog.oid[])`
	var same bool
	if err := q.QueryRow(ctx, query, publication, oids).Scan(&same); err != nil {
		return fmt.Errorf("look at publication %s: %w", publication, err)
	}
	if !same {
		return fmt.Errorf("%w while publication %s was made: run pgbridge init again", ErrRenamed, publication)
	}
	return nil
}
