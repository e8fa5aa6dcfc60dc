package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/internal/pgtest"
	find "github.com/pgbridge/pgbridge/internal/server"
)

// checkpoint measures pgbridge checkpoint create into a node that has none.
func checkpoint(b *bench, t testing.TB, frozen *stage) measure {
	s := frozen.thaw(t)
	node, url := b.startNode(t, s.node)
	used := s.usage(t)
	began := time.Now()
	p := b.start(t, "checkpoint", s.source(url), "checkpoint", "create")
	p.finish(t)
	m := measure{Units: s.units, Seconds: time.Since(began).Seconds(), CPU: used.since(t, node), Memory: map[string]float64{"checkpoint": p.peak()}}
	m.Total = m.Seconds
	m.addEnded("checkpoint", p.cmd)
	return m
}

// dump measures pg_dump of the same database.
func dump(_ *bench, t testing.TB, frozen *stage) measure {
	s := frozen.thaw(t)
	cmd := dumping(t, s.a)
	used := s.usage(t)
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pg_dump: %v\n%s", err, out)
	}
	m := measure{Units: s.units, Seconds: time.Since(began).Seconds(), CPU: used.since(t)}
	m.Total = m.Seconds
	m.addEnded("pg_dump", cmd)
	return m
}

// dumping is pg_dump into a file, compressed as nearly as it can to how pgbridge
// compresses: by zstd if there is a pg_dump that knows it (16 and later), else by
// the fastest gzip.
func dumping(t testing.TB, db *pgtest.DB) *exec.Cmd {
	t.Helper()
	program, compress := db.Cluster.Client(t, "pg_dump"), "--compress=1"
	if newer, err := find.FindClient("pg_dump", "", 16); err == nil {
		program, compress = newer, "--compress=zstd"
	}
	cmd := exec.CommandContext(t.Context(), program, "--format=custom", compress, "--exclude-schema=pgbridge", "--no-publications",
		"--file="+filepath.Join(t.TempDir(), "dump"))
	cmd.Env, cmd.SysProcAttr = db.Env(), apart()
	return cmd
}

// peak is the most memory, in MB, that an ended process had resident.
func (p *process) peak() float64 {
	usage, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return float64(usage.Maxrss) / 1024 // kilobytes on Linux
}

// save makes a checkpoint of a source whose bridge is at work, and waits until
// the chain that is in the archive names it.
func (b *bench) save(t testing.TB, s *stage, archive string, running ...*process) {
	t.Helper()
	b.pgbridge(t, s.source(archive), "checkpoint", "create")
	conn := connect(t, s.a)
	mark := value[string](t, conn, "SELECT pg_current_wal_insert_lsn()::text")
	execute(t, s.a, "INSERT INTO edge VALUES (0)")
	until(t, 20*time.Millisecond, "the checkpoint in the chain", running, func() bool {
		return value[bool](t, conn, "SELECT confirmed_flush_lsn >= $1::text::pg_lsn AND NOT EXISTS (SELECT FROM pgbridge.outbox) FROM pg_replication_slots WHERE slot_name = $2", mark, s.slot)
	})
}

// restoreCheckpoint is restore of a database that has a checkpoint, and ends the
// run if it was not used: a replay would be measured.
func restoreCheckpoint(b *bench, t testing.TB, frozen *stage) measure {
	m, said := b.restored(t, frozen)
	if !strings.Contains(said, `"checkpoint":1`) {
		t.Fatalf("restore did not begin with the checkpoint:\n%s", said)
	}
	return m
}
