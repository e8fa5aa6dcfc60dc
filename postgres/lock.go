package postgres

import (
	"context"
	"fmt"
	"time"
)

// Lock is a lock of a database, by which those at work on it know of each other. It is
// a row of schema pgbridge, which must be there; only the owner of the schema and the
// service role can take it. A session holds it until it ends.
type Lock string

// The locks of this program.
const (
	LockRun        Lock = "run" // shared
	LockCheckpoint Lock = "checkpoint"
	LockRestore    Lock = "restore"
	LockLoad       Lock = "load" // shared by the sessions of a restore
	LockInit       Lock = "init"
)

// LockApply is held by the session that applies the records of a writer.
func LockApply(writer string) Lock { return Lock("apply " + writer) }

// lockPoll is how often a lock is looked at that another session has. The server does
// not say when a session ends.
const lockPoll = 100 * time.Millisecond

// Try takes the lock, if no other session has it. It takes effect at once, so session
// must not be in a transaction.
func (l Lock) Try(ctx context.Context, session Querier) (bool, error) {
	return l.take(ctx, session, false)
}

// Share takes the lock together with others that share it. It waits while a session has
// it alone. Session must not be in a transaction.
func (l Lock) Share(ctx context.Context, session Querier) error {
	return poll(ctx, func() (bool, error) { return l.take(ctx, session, true) })
}

// Wait returns when nobody has the lock.
func (l Lock) Wait(ctx context.Context, session Querier) error {
	return poll(ctx, func() (bool, error) {
		held, err := l.Held(ctx, session)
		return !held, err
	})
}

// Held tells whether a session has the lock.
func (l Lock) Held(ctx context.Context, q Querier) (held bool, err error) {
	err = q.QueryRow(ctx, "SELECT pgbridge.is_locked($1)", string(l)).Scan(&held)
	return held, wrapUnlessNil("look at lock "+string(l), err)
}

func (l Lock) take(ctx context.Context, session Querier, shared bool) (ok bool, err error) {
	err = session.QueryRow(ctx, "SELECT pgbridge.take_lock($1, $2)", string(l), shared).Scan(&ok)
	return ok, wrapUnlessNil("take lock "+string(l), err)
}

func poll(ctx context.Context, done func() (bool, error)) error {
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for another session: %w", ctx.Err())
		case <-time.After(lockPoll):
		}
	}
}
