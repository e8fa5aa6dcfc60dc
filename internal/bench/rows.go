package main

import (
	"fmt"
	"strings"
	"testing"
)

// row is one line of the report.
type row struct {
	name    string
	against string  // what it is compared with, or ""
	floor   float64 // ratio to reach, or limit not to reach
	run     func(*bench, testing.TB, *stage, row) result
}

// group is the rows that are measured on the same data.
type group struct {
	work workload
	rows []row
}

const (
	drainer      = "pg_recvlogical"
	subscription = "subscription"
	dumpRestore  = "pg_restore -j2"
	dumper       = "pg_dump -Fc"
)

// groups is everything that is measured. The floors are for two cores.
var groups = []group{
	{bulk, []row{
		{"capture-w2", drainer, 0.6, compare(capture, drain)},
		{"catchup-w2", subscription, 0.5, compare(follow, subscribe)},
	}},
	{small, []row{
		{"capture-w1", drainer, 0.6, compare(capture, drain)},
		{"catchup-w1", subscription, 0.4, compare(follow, subscribe)},
	}},
	{tpcb, []row{{"catchup-tpcb", subscription, 0.7, compare(follow, subscribe)}}},
	{table, []row{{"restore", dumpRestore, 1.0 / 3, compare(restore, loadDump)}}},
	{indexed, []row{
		{"restore-checkpoint", dumpRestore, 1 / 1.3, compare(restoreCheckpoint, loadDump)},
		{"verify", "", 100, verify},
		{"memory-copies", "", 256, copyMemory},
	}},
	{saved, []row{{"restore-pgbench", dumpRestore, 1 / 1.3, compare(restoreCheckpoint, loadDump)}}},
	{bank, []row{{"checkpoint", dumper, 1 / 1.5, compare(checkpoint, dump)}}},
	{busy, []row{{"checkpoint-load", dumper, 0.8, compare(underCheckpoint, underDump)}}},
	{pings, []row{{"latency", subscription, 150, latency}}},
	{huge, []row{{"memory", "", 256, memory}}},
	{mapped, []row{{"capture-mapped", "unnamed", 0.7, compare(capture, unnamed)}}},
	{calls, []row{{"replay-calls", "", 5000, replay}, {"call-cost", "plain", 50, call}}},
}

func rowNames() []string {
	var names []string
	for _, g := range groups {
		for _, r := range g.rows {
			names = append(names, r.name)
		}
	}
	return names
}

// chooseRows reads a list of names; an empty one is all of them.
func chooseRows(list string) (map[string]bool, error) {
	chosen := map[string]bool{}
	for _, name := range rowNames() {
		chosen[name] = list == ""
	}
	if list == "" {
		return chosen, nil
	}
	for name := range strings.SplitSeq(list, ",") {
		if _, ok := chosen[name]; !ok {
			return nil, fmt.Errorf("-only %s: no such row; there are %s", name, strings.Join(rowNames(), ", "))
		}
		chosen[name] = true
	}
	return chosen, nil
}

// contender does the work of a row once.
type contender func(*bench, testing.TB, *stage) measure

// compare measures pgbridge and its peer in turns, and takes turns in who is
// first.
func compare(ours, peer contender) func(*bench, testing.TB, *stage, row) result {
	return func(b *bench, t testing.TB, s *stage, r row) result {
		out := result{Row: r.name, Against: r.against, Unit: s.work.unit, Rule: rule{"ratio", r.floor}}
		for b.round = 1; b.round <= b.rounds; b.round++ {
			var m, p measure
			first, second := func() { m = once(b, t, s, ours) }, func() { p = once(b, t, s, peer) }
			if b.round%2 == 0 {
				first, second = second, first
			}
			first()
			second()
			out.Rounds = append(out.Rounds, round{Ours: m, Peer: &p, Figure: m.rate() / p.rate()})
			b.say("%s: round %d: pgbridge %s %s, %s %s, ratio %.2f", r.name, b.round, count(m.rate()), s.work.unit, r.against, count(p.rate()), m.rate()/p.rate())
		}
		return out
	}
}

func once(b *bench, t testing.TB, s *stage, do contender) (m measure) {
	scope(t, func(t testing.TB) { m = do(b, t, s) })
	return m
}
