package postgres

import (
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// A lock keeps its own kind out, and no other.
func TestLock(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	a, b := db.Connect(t), db.Connect(t)
	ctx := t.Context()
	held := func(l Lock, want bool) {
		t.Helper()
		if got, err := l.Held(ctx, b); err != nil || got != want {
			t.Errorf("lock %d is held: got %v (%v), want %v", l, got, err, want)
		}
	}
	held(LockRestore, false)
	for _, l := range []Lock{LockRestore, LockCheckpoint} {
		if got, err := l.Try(ctx, a); err != nil || !got {
			t.Errorf("lock %d, which nobody has: got %v (%v)", l, got, err)
		}
	}
	if got, err := LockRestore.Try(ctx, b); err != nil || got {
		t.Errorf("a lock that another session has: got %v (%v), want none", got, err)
	}
	held(LockRestore, true)
	held(LockRun, false)
	for _, session := range []Querier{a, b} {
		if err := LockRun.Share(ctx, session); err != nil {
			t.Fatal(err)
		}
	}
	held(LockRun, true)
	if err := a.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := LockRestore.Wait(ctx, b); err != nil { // until the server has noticed
		t.Fatal(err)
	}
	held(LockRestore, false)
}
