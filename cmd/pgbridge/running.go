package main

import (
	"context"
	"fmt"

	"github.com/pgbridge/pgbridge/sql"
)

// Who is at work holds an advisory lock, by which status can tell. Its two numbers:
// "pgbr" in ASCII, and who.
const (
	runLock        = 1 // shared
	checkpointLock = 2 // that of package checkpoint
)

// markRunning says, until the session ends, that run is at work here.
func markRunning(ctx context.Context, session sql.Querier) error {
	if _, err := session.Exec(ctx, `SELECT pg_catalog.pg_advisory_lock_shared(1885823602, $1)`, runLock); err != nil {
		return fmt.Errorf("mark as running: %w", err)
	}
	return nil
}

// atWork tells whether somebody holds the lock.
func atWork(ctx context.Context, q sql.Querier, lock int) (held bool, err error) {
	const query = `SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted
		AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
		AND classid = 1885823602 AND objid = $1::int8::oid AND objsubid = 2)`
	if err := q.QueryRow(ctx, query, lock).Scan(&held); err != nil {
		return false, fmt.Errorf("look for a pgbridge at work: %w", err)
	}
	return held, nil
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
