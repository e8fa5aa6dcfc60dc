package main

import (
	"testing"
	"time"
)

// memory measures how much memory pgbridge has resident at most, on either
// side, during one huge transaction. Once: it depends on no rival.
func memory(b *bench, t testing.TB, frozen *stage, r row) result {
	b.round = 1
	m := once(b, t, frozen, followHuge)
	b.say("%s: bridge %.0f MB, follower %.0f MB", r.name, m.Memory["bridge"], m.Memory["follower"])
	return result{
		Row: r.name, Unit: "MB", Rule: rule{"most", r.floor},
		Rounds: []round{{Ours: m, Figure: max(m.Memory["bridge"], m.Memory["follower"])}},
	}
}

func followHuge(b *bench, t testing.TB, frozen *stage) measure {
	s := frozen.thaw(t)
	node, url := b.startNode(t, s.node)
	conn := connect(t, s.b)
	used := s.usage(t)
	began := time.Now()
	follower := b.start(t, "follower", s.follower(url), "run")
	bridge := b.start(t, "bridge", s.source(url), "run")
	all := []*process{node, bridge, follower}
	awaitEdge(t, conn, 2, all)
	m := measure{Units: s.units, Seconds: time.Since(began).Seconds(), Total: time.Since(began).Seconds(), CPU: used.since(t, all...), Memory: map[string]float64{}}
	for _, p := range all {
		m.Memory[p.role] = peakMemory(t, p)
	}
	s.sameData(t, s.b)
	return m
}
