package postgres

import "testing"

// A lock keeps its own kind out, and no other.
func TestLock(t *testing.T) {
	t.Parallel()
	db, a := migrated(t)
	b := db.Connect(t)
	ctx := t.Context()
	held := func(l Lock, want bool) {
		t.Helper()
		if got, err := l.Held(ctx, b); err != nil || got != want {
			t.Errorf("lock %s is held: got %v (%v), want %v", l, got, err, want)
		}
	}
	held(LockRestore, false)
	for _, l := range []Lock{LockRestore, LockCheckpoint} {
		if got, err := l.Try(ctx, a); err != nil || !got {
			t.Errorf("lock %s, which nobody has: got %v (%v)", l, got, err)
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
	held(LockRun, true) // b has its own share
}

// Who may not take the locks of the bridge does not hold it up.
func TestLocksOfOthers(t *testing.T) {
	t.Parallel()
	db, admin := migrated(t)
	role := newRole(t, admin, "LOGIN")
	login := connect(t, db.URLAs(role))
	for _, l := range []Lock{LockRun, LockRestore, LockInit} {
		if ok, err := l.Try(t.Context(), login); err == nil {
			t.Errorf("a login that takes lock %s: got %v, want it refused", l, ok)
		}
	}
	mustExec(t, login, "SELECT pg_advisory_lock(1885823602, n), pg_advisory_lock(hashtext('pgbridge apply'), n) FROM generate_series(0, 9) n")
	for _, l := range []Lock{LockCheckpoint, LockRestore, LockInit, LockApply("x")} {
		if ok, err := l.Try(t.Context(), admin); err != nil || !ok {
			t.Errorf("lock %s, with advisory locks held: got %v (%v), want it", l, ok, err)
		}
	}
}
