package main

import (
	"os/exec"
	"testing"
	"time"
)

// underCheckpoint measures what pgbench does at the source while a checkpoint is
// made, and underDump while pg_dump runs. In both the bridge is at work.
func underCheckpoint(b *bench, t testing.TB, frozen *stage) measure {
	return b.underCopy(t, frozen, func(t testing.TB, s *stage, url string) *process {
		p := b.start(t, "checkpoint", s.source(url), "checkpoint", "create")
		p.finish(t)
		return p
	})
}

func underDump(b *bench, t testing.TB, frozen *stage) measure {
	return b.underCopy(t, frozen, func(t testing.TB, s *stage, _ string) *process {
		cmd := dumping(t, s.a)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("pg_dump: %v\n%s", err, out)
		}
		return nil
	})
}

// warm is how long pgbench runs before it is measured.
const warm = 3 * time.Second

func (b *bench) underCopy(t testing.TB, frozen *stage, work func(testing.TB, *stage, string) *process) measure {
	t.Helper()
	s := frozen.thaw(t)
	node, url := b.startNode(t, s.node)
	bridge := b.start(t, "bridge", s.source(url), "run")
	load := b.startLoad(t, s)
	select {
	case <-time.After(warm):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
	conn := connect(t, s.a)
	const done = "SELECT count(*)::int FROM pgbench_history"
	used := s.usage(t)
	before, began := value[int](t, conn, done), time.Now()
	ended := work(t, s, url)
	m := measure{Units: value[int](t, conn, done) - before, Seconds: time.Since(began).Seconds(), CPU: used.since(t, node, bridge)}
	m.Total = m.Seconds
	if ended != nil {
		m.addEnded(ended.role, ended.cmd)
		m.Memory = map[string]float64{ended.role: ended.peak()}
	}
	if m.Units == 0 {
		t.Fatal("pgbench did nothing meanwhile")
	}
	load()
	return m
}

// startLoad puts pgbench on the source until the function that it returns, or
// the end of t.
func (b *bench) startLoad(t testing.TB, s *stage) (stop func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.a.Cluster.Client(t, "pgbench"), "--no-vacuum", "--protocol=prepared", "--jobs=1", "--client=4", "--time=3600")
	cmd.Env, cmd.SysProcAttr = s.a.Env(), apart()
	if err := cmd.Start(); err != nil {
		t.Fatalf("start pgbench: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is killed
		close(ended)
	}()
	stop = func() {
		_ = cmd.Process.Kill() // it may be gone already
		<-ended
	}
	t.Cleanup(stop)
	return stop
}
