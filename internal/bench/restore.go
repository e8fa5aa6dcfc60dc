package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// restore measures pgbridge restore from a node into an empty database.
func restore(b *bench, t testing.TB, frozen *stage) measure {
	m, _ := b.restored(t, frozen)
	return m
}

// restored is what restore measures, and what it said.
func (b *bench) restored(t testing.TB, frozen *stage) (measure, string) {
	t.Helper()
	s := frozen.thaw(t)
	empty := s.emptyDatabase(t)
	node, url := b.startNode(t, s.node)
	used := s.usage(t)
	began := time.Now()
	p := b.start(t, "restore", []string{"PGBRIDGE_DATABASE_URL=" + empty.URL(), "PGBRIDGE_ARCHIVE=" + url}, "restore", "--json", "--db-id", s.id)
	p.finish(t)
	m := measure{Units: s.units, Seconds: time.Since(began).Seconds(), CPU: used.since(t, node), Memory: map[string]float64{"restore": p.peak()}}
	m.Total = m.Seconds
	m.addEnded("restore", p.cmd)
	s.sameData(t, empty)
	return m, p.output()
}

// loadDump measures pg_restore of a dump of the same rows. Making the dump is
// not measured.
func loadDump(_ *bench, t testing.TB, frozen *stage) measure {
	s := frozen.thaw(t)
	empty := s.emptyDatabase(t)
	dump := filepath.Join(t.TempDir(), "dump")
	client(t, s.a, "pg_dump", "--format=custom", "--exclude-schema=pgbridge", "--no-publications", "--file="+dump)
	list := withoutEventTriggers(t, s.a, dump)
	settle()
	used := s.usage(t)
	began := time.Now()
	cmd := client(t, empty, "pg_restore", "--jobs=2", "--exit-on-error", "--use-list="+list, "--dbname="+empty.Name, dump)
	m := measure{Units: s.units, Seconds: time.Since(began).Seconds(), CPU: used.since(t)}
	m.Total = m.Seconds
	m.addEnded("pg_restore", cmd)
	s.sameData(t, empty)
	return m
}

// withoutEventTriggers lists what is in a dump, for --use-list, but for event
// triggers, which are in no schema: those of pgbridge need its functions.
func withoutEventTriggers(t testing.TB, db *pgtest.DB, dump string) (list string) {
	t.Helper()
	all, list := dump+".all", dump+".list"
	client(t, db, "pg_restore", "--list", "--file="+all, dump)
	text, err := os.ReadFile(all)
	if err != nil {
		t.Fatal(err)
	}
	var kept strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, " EVENT TRIGGER ") {
			kept.WriteString(line)
		}
	}
	if err := os.WriteFile(list, []byte(kept.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return list
}

func (s *stage) emptyDatabase(t testing.TB) *pgtest.DB {
	t.Helper()
	db := &pgtest.DB{Name: "empty", Cluster: s.b.Cluster}
	admin := &pgtest.DB{Name: "postgres", Cluster: s.b.Cluster}
	execute(t, admin, fmt.Sprintf("CREATE DATABASE %s TEMPLATE template0", db.Name))
	return db
}
