package main

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// follow measures pgbridge from slot to target, with the backlog waiting and
// everybody started at once.
func follow(b *bench, t testing.TB, frozen *stage) measure {
	s := frozen.thaw(t)
	conn := connect(t, s.b)
	used := s.usage(t)
	node, url := b.startNode(t, s.node)
	began := time.Now()
	follower := b.start(t, "follower", s.follower(url), "run")
	bridge := b.start(t, "bridge", s.source(url), "run")
	all := []*process{node, bridge, follower}
	m := s.watch(t, conn, began, all)
	m.CPU = used.since(t, all...)
	s.sameData(t, s.b)
	return m
}

// subscribe measures the built-in subscription with the same backlog.
func subscribe(_ *bench, t testing.TB, frozen *stage) measure {
	s := frozen.thaw(t)
	conn := connect(t, s.peer)
	used := s.usage(t)
	began := time.Now()
	s.createSubscription(t)
	m := s.watch(t, conn, began, nil)
	m.CPU = used.since(t)
	s.sameData(t, s.peer)
	return m
}

func (s *stage) createSubscription(t testing.TB) {
	t.Helper()
	s.peer.Exec(t, "CREATE SUBSCRIPTION peer CONNECTION '"+s.a.URL()+"' PUBLICATION "+s.publication+
		" WITH (copy_data = false, create_slot = false, slot_name = '"+peerSlot+"')")
}

// watch times from the first change that can be seen on the target to the last.
// What is there at the first look was not timed and does not count.
func (s *stage) watch(t testing.TB, conn *pgx.Conn, began time.Time, running []*process) measure {
	t.Helper()
	awaitEdge(t, conn, 1, running)
	first := time.Now()
	seen := value[int](t, conn, s.work.count)
	awaitEdge(t, conn, 2, running)
	if seen >= s.units {
		t.Fatalf("all %d came at once: nothing to time, raise -scale", s.units)
	}
	return measure{Units: s.units - seen, Seconds: time.Since(first).Seconds(), Total: time.Since(began).Seconds()}
}

// awaitEdge waits for the first (1) or the last (2) change of the workload.
func awaitEdge(t testing.TB, conn *pgx.Conn, id int, running []*process) {
	t.Helper()
	until(t, 10*time.Millisecond, "the target", running, func() bool {
		return value[bool](t, conn, "SELECT EXISTS (SELECT FROM edge WHERE id = $1)", id)
	})
}
