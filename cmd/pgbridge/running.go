package main

import (
	"context"
	"fmt"

	"github.com/pgbridge/pgbridge/sql"
)

// Run holds an advisory lock, shared, for as long as it lives, by which status
// can tell that it does. Its two numbers: "pgbr" in ASCII, and 1.
const (
	holdRunning = `SELECT pg_catalog.pg_advisory_lock_shared(1885823602, 1)`
	seeRunning  = `SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted
		AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
		AND classid = 1885823602 AND objid = 1 AND objsubid = 2)`
)

// markRunning says, until the session ends, that run is at work here.
func markRunning(ctx context.Context, session sql.Querier) error {
	if _, err := session.Exec(ctx, holdRunning); err != nil {
		return fmt.Errorf("mark as running: %w", err)
	}
	return nil
}

func isRunning(ctx context.Context, q sql.Querier) (running bool, err error) {
	if err := q.QueryRow(ctx, seeRunning).Scan(&running); err != nil {
		return false, fmt.Errorf("look for a pgbridge at work: %w", err)
	}
	return running, nil
}

// initRunning tells whether init is at work: it holds the lock that keeps a
// second one out.
func initRunning(ctx context.Context, q sql.Querier) (running bool, err error) {
	const query = `SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted
		AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
		AND objid::text = (hashtext('pgbridge init')::bigint & 4294967295)::text AND objsubid = 1)`
	if err := q.QueryRow(ctx, query).Scan(&running); err != nil {
		return false, fmt.Errorf("look for a pgbridge init at work: %w", err)
	}
	return running, nil
}
