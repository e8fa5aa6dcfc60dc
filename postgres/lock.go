package postgres

import (
	"context"
	"fmt"
)

// Lock is an advisory lock of a database, by which those at work on it know of each
// other. A session holds it until it ends.
type Lock int32

// The locks of this program. Their first number is "pgbr" in ASCII.
const (
	LockRun        Lock = 1 // shared
	LockCheckpoint Lock = 2
	LockRestore    Lock = 3
	LockLoad       Lock = 4 // shared by the sessions of a restore
	LockInit       Lock = 5
)

const lockSpace = 1885823602

// Try takes the lock, if nobody has it.
func (l Lock) Try(ctx context.Context, session Querier) (ok bool, err error) {
	err = session.QueryRow(ctx, `SELECT pg_catalog.pg_try_advisory_lock($1, $2)`, lockSpace, l).Scan(&ok)
	return ok, wrapUnlessNil("take an advisory lock", err)
}

// Share takes the lock together with others that share it.
func (l Lock) Share(ctx context.Context, session Querier) error {
	_, err := session.Exec(ctx, `SELECT pg_catalog.pg_advisory_lock_shared($1, $2)`, lockSpace, l)
	return wrapUnlessNil("share an advisory lock", err)
}

// Wait returns when nobody has the lock.
func (l Lock) Wait(ctx context.Context, session Querier) error {
	for _, query := range []string{`SELECT pg_catalog.pg_advisory_lock($1, $2)`, `SELECT pg_catalog.pg_advisory_unlock($1, $2)`} {
		if _, err := session.Exec(ctx, query, lockSpace, l); err != nil {
			return fmt.Errorf("wait for an advisory lock: %w", err)
		}
	}
	return nil
}

// Held tells whether a session has the lock.
func (l Lock) Held(ctx context.Context, q Querier) (held bool, err error) {
	const query = `SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted
		AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
		AND classid = $1::int8::oid AND objid = $2::int8::oid AND objsubid = 2)`
	err = q.QueryRow(ctx, query, lockSpace, l).Scan(&held)
	return held, wrapUnlessNil("look for an advisory lock", err)
}
