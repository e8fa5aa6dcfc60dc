package main

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// verify measures how many MB of records pgbridge verify reads and proves in a
// second, of a node that has the rows twice: as the copy of init, and as a
// checkpoint.
func verify(b *bench, t testing.TB, frozen *stage, r row) result {
	out := result{Row: r.name, Unit: "MB/s", Rule: rule{"least", r.floor}}
	for b.round = 1; b.round <= b.rounds; b.round++ {
		m := once(b, t, frozen, verifyOnce)
		out.Rounds = append(out.Rounds, round{Ours: m, Figure: m.rate()})
		b.say("%s: round %d: %.0f MB in %.1f s, %.0f MB/s, %.0f MB of memory", r.name, b.round, float64(m.Units), m.Seconds, m.rate(), m.Memory["verify"])
	}
	return out
}

func verifyOnce(b *bench, t testing.TB, frozen *stage) measure {
	s := frozen.thaw(t)
	node, url := b.startNode(t, s.node)
	used := s.usage(t)
	began := time.Now()
	p := b.start(t, "verify", []string{"PGBRIDGE_ARCHIVE=" + url}, "verify", "--db-id", s.id)
	p.finish(t)
	m := measure{Units: s.stored(t), Seconds: time.Since(began).Seconds(), CPU: used.since(t, node), Memory: map[string]float64{"verify": p.peak()}}
	m.Total = m.Seconds
	m.addEnded("verify", p.cmd)
	return m
}

// stored is the size of all items of the node, in MB.
func (s *stage) stored(t testing.TB) int {
	t.Helper()
	var bytes int64
	err := filepath.WalkDir(s.node, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".item") {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatalf("size of the archive: %v", err)
	}
	return max(1, int(bytes>>20))
}

// copyMemory measures how much memory making a checkpoint, restoring and
// verifying have resident at most. Once: it depends on no rival.
func copyMemory(b *bench, t testing.TB, frozen *stage, r row) result {
	b.round = 1
	all := measure{Memory: map[string]float64{}}
	for _, do := range []contender{checkpoint, restoreCheckpoint, verifyOnce} {
		m := once(b, t, frozen, do)
		all.Units, all.Seconds, all.Total = m.Units, all.Seconds+m.Seconds, all.Total+m.Total
		for who, mb := range m.Memory {
			all.Memory[who] = mb
		}
	}
	out := result{Row: r.name, Unit: "MB", Rule: rule{"most", r.floor}, Rounds: []round{{Ours: all}}}
	for who, mb := range all.Memory {
		b.say("%s: %s %.0f MB", r.name, who, mb)
		out.Rounds[0].Figure = max(out.Rounds[0].Figure, mb)
	}
	return out
}
