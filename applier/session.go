package applier

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// openSession makes conn the session that applies the records of w: triggers
// and foreign keys do not act again, commits do not wait for the disk (progress
// is lost with the data), and what it writes is marked as not of this database.
func openSession(ctx context.Context, conn *pgx.Conn, w action.Writer) error {
	replica, err := replicaSQL(ctx, conn)
	if err != nil {
		return fmt.Errorf("open session to apply: %w", err)
	}
	if _, err := conn.Exec(ctx, replica); err != nil {
		return fmt.Errorf("open session to apply: %w: GRANT SET ON PARAMETER session_replication_role TO the role (from 15 on), or GRANT EXECUTE ON FUNCTION pgbridge.replica_role(text) TO it", err)
	}
	if _, err := conn.Exec(ctx, noWait); err != nil {
		return fmt.Errorf("open session to apply: %w", err)
	}
	return openOrigin(ctx, conn, w)
}

// noWait: commits do not wait for the disk.
const noWait = "SET synchronous_commit = off"

// byFunction sets session_replication_role in a session that may not by itself.
const byFunction = "SELECT pgbridge.replica_role('replica')"

// replicaSQL is how a session sets session_replication_role to replica: by itself where
// it may, else by a function of schema pgbridge. Before 15 only a superuser may.
func replicaSQL(ctx context.Context, conn *pgx.Conn) (string, error) {
	query := "SELECT pg_catalog.has_parameter_privilege('session_replication_role', 'SET')"
	if postgres.Before15(conn) {
		query = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"
	}
	var may bool
	err := conn.QueryRow(ctx, query).Scan(&may)
	if err != nil {
		return "", fmt.Errorf("look up the role of the session: %w", err)
	}
	if may {
		return "SET session_replication_role = replica", nil
	}
	return byFunction, nil
}

// openOrigin begins to work under a replication origin, by which capture knows
// an echo. A role that may not do so may still apply to a database that
// publishes nothing.
func openOrigin(ctx context.Context, conn *pgx.Conn, w action.Writer) error {
	var name string // origins belong to the cluster
	err := conn.QueryRow(ctx, "SELECT format('pgbridge_%s_%s', oid, $1::text) FROM pg_database WHERE datname = current_database()", w.String()[:16]).Scan(&name)
	if err != nil {
		return fmt.Errorf("name origin: %w", err)
	}
	// Capture knows an echo by this row, so it is committed before the first transaction.
	if _, err := conn.Exec(ctx, "INSERT INTO pgbridge.origin (name) VALUES ($1) ON CONFLICT DO NOTHING", name); err != nil {
		return fmt.Errorf("note origin %s: %w", name, err)
	}
	_, err = conn.Exec(ctx, `SELECT pgbridge.open_origin($1)`, name)
	var pgErr *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &pgErr) && pgErr.Code == "55006": // object_in_use
		return fmt.Errorf("open origin %s: %w: is another pgbridge run at work on this database?", name, err)
	case errors.As(err, &pgErr) && pgErr.Code == "42501": // insufficient_privilege
		if err := originNeeded(ctx, conn, err); err != nil {
			return err
		}
		return lockWriter(ctx, conn, w)
	}
	return fmt.Errorf("open origin %s: %w", name, err)
}

func originNeeded(ctx context.Context, conn *pgx.Conn, cause error) error {
	var publishes bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pgbridge.chain)").Scan(&publishes); err != nil {
		return fmt.Errorf("look for a chain: %w", err)
	}
	if !publishes {
		return nil
	}
	return fmt.Errorf("open origin: %w: GRANT EXECUTE ON FUNCTION pg_replication_origin_create(text), pg_replication_origin_session_setup(text) TO the owner of schema pgbridge", cause)
}

// lockWriter does what else an origin does: it keeps out a second session, such
// as that of a process that was killed and whose last commit is still under way.
func lockWriter(ctx context.Context, conn *pgx.Conn, w action.Writer) error {
	ok, err := postgres.LockApply(w.String()).Try(ctx, conn)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("lock writer %s: another session applies its records: is another pgbridge run at work on this database?", w)
	}
	return nil
}
