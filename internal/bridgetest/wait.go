package bridgetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// Eventually waits, for two minutes, until check has nothing to complain of.
func Eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	EventuallyIn(t, 2*time.Minute, what, check)
}

// EventuallyIn is Eventually for work that may take longer.
func EventuallyIn(t testing.TB, limit time.Duration, what string, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := pgtest.Poll(ctx, check); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// Published waits until all that is committed at source has left its outbox, and
// returns the chain's head.
func Published(t testing.TB, source *pgtest.DB) string {
	t.Helper()
	at := source.Value(t, `SELECT pg_logical_emit_message(true, 'test', 'mark')`)
	Eventually(t, "published", func() error { return Unpublished(t, source, at) })
	return source.Value(t, `SELECT epoch || ':' || seq FROM pgbridge.chain`)
}

// Unpublished says what of source's WAL up to position at is not yet in all
// archives; nil if everything is.
func Unpublished(t testing.TB, source *pgtest.DB, at string) error {
	t.Helper()
	// First the slot: what it has confirmed was in the outbox before.
	confirmed := source.Query(t, `SELECT confirmed_flush_lsn >= $1::pg_lsn, format('confirmed %s of %s', confirmed_flush_lsn, $1)
		FROM pg_replication_slots WHERE database = current_database() AND plugin = 'pgoutput' AND NOT temporary`, at)
	if len(confirmed) != 1 {
		return fmt.Errorf("%d slots", len(confirmed))
	} else if confirmed[0][0] != "t" {
		return errors.New(confirmed[0][1])
	}
	if n := source.Value(t, `SELECT count(*) FROM pgbridge.outbox`); n != "0" {
		return errors.New(n + " records in the outbox")
	}
	return nil
}

// NotApplied says that follower has not applied the record head; nil if it has.
func NotApplied(t testing.TB, follower *pgtest.DB, head string) error {
	t.Helper()
	at := follower.Value(t, `SELECT coalesce(max(epoch || ':' || seq) FILTER (WHERE complete), 'nothing whole') FROM pgbridge.progress`)
	if at != head {
		return fmt.Errorf("follower is at %s, want %s", at, head)
	}
	return nil
}

// NoSessions waits until no session of pgbridge is left in db: one whose process
// has ended keeps its slot, origin and locks for a moment, and what it began may
// yet commit.
func NoSessions(t testing.TB, db *pgtest.DB) {
	t.Helper()
	db.Wait(t, "0", `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pgbridge'`)
}
