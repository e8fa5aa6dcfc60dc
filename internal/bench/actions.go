package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// A function that adds an item, as an action, and the same as a name for what
// plain INSERTs do.
const (
	addItem = `CREATE FUNCTION add_item(id bigint, title text, n integer, at timestamptz) RETURNS void LANGUAGE sql SET search_path = public AS
			'INSERT INTO item VALUES (id, title, n, at)';
		REVOKE EXECUTE ON FUNCTION add_item FROM PUBLIC;`
	defineAdd = `SELECT pgbridge.register_action('add_item(bigint,text,integer,timestamptz)');`
	mapAdd    = `SELECT pgbridge.map_action('add_item(bigint,text,integer,timestamptz)', 'item', 'insert');`
)

// callItems adds total items by as many transactions of one call.
func (b *bench) callItems(t testing.TB, s *stage, total int) {
	execute(t, s.a, fmt.Sprintf(`DO $$ BEGIN FOR i IN 1..%d LOOP PERFORM pgbridge."public.add_item"(i, left(md5(i::text), 20), i %% 1000, clock_timestamp()); COMMIT; END LOOP; END $$`, total))
}

// unnamed is capture of the same WAL as if nothing were defined.
func unnamed(b *bench, t testing.TB, frozen *stage) measure {
	s := *frozen
	s.forget = true
	return capture(b, t, &s)
}

// replay measures how many calls a follower makes in a second.
func replay(b *bench, t testing.TB, frozen *stage, r row) result {
	out := result{Row: r.name, Unit: "calls/s", Rule: rule{"least", r.floor}}
	for b.round = 1; b.round <= b.rounds; b.round++ {
		m := once(b, t, frozen, follow)
		out.Rounds = append(out.Rounds, round{Ours: m, Figure: m.rate()})
		b.say("%s: round %d: %s calls/s", r.name, b.round, count(m.rate()))
	}
	return out
}

// call measures what a call costs the application: microseconds more than the
// plain function takes, one transaction each.
func call(b *bench, t testing.TB, frozen *stage, r row) result {
	out := result{Row: r.name, Against: r.against, Unit: "µs", Rule: rule{"most", r.floor}}
	scope(t, func(t testing.TB) {
		s := frozen.thaw(t)
		execute(t, s.a, "CREATE SEQUENCE bench START 100000000")
		const args = `nextval('bench'), 'a title of some length', 42, now()`
		scripts := map[string]string{
			"plain": `SELECT add_item(` + args + `);`,
			"typed": `SELECT pgbridge."public.add_item"(` + args + `);`,
			"json":  `SELECT pgbridge.call('public.add_item', jsonb_build_object('id', nextval('bench'), 'title', 'a title of some length', 'n', 42, 'at', now()));`,
		}
		for b.round = 1; b.round <= b.rounds; b.round++ {
			took := map[string]float64{}
			for name, sql := range scripts {
				took[name] = b.pgbenchMicros(t, s, name, sql)
			}
			more := took["json"] - took["plain"]
			out.Rounds = append(out.Rounds, round{Ours: measure{Median: took["json"] / 1000}, Peer: &measure{Median: took["plain"] / 1000}, Figure: more})
			b.say("%s: round %d: plain %.0f µs, typed %.0f more, pgbridge.call %.0f more", r.name, b.round, took["plain"], took["typed"]-took["plain"], more)
		}
	})
	return out
}

var averageLatency = regexp.MustCompile(`latency average = ([0-9.]+) ms`)

// pgbenchMicros is how long one transaction takes, in the middle of five runs.
func (b *bench) pgbenchMicros(t testing.TB, s *stage, name, sql string) float64 {
	t.Helper()
	script := filepath.Join(t.TempDir(), name+".sql")
	if err := os.WriteFile(script, []byte(sql), 0o600); err != nil {
		t.Fatal(err)
	}
	var all []float64
	for range 5 {
		cmd := exec.CommandContext(t.Context(), s.a.Cluster.Client(t, "pgbench"), "--no-vacuum", "--protocol=prepared", "--client=1",
			fmt.Sprintf("--transactions=%d", b.scaled(10_000)), "--file="+script)
		cmd.Env, cmd.SysProcAttr = append(s.a.Env(), "PGOPTIONS=-c synchronous_commit=off"), apart()
		out, err := cmd.CombinedOutput()
		found := averageLatency.FindSubmatch(out)
		if err != nil || found == nil {
			t.Fatalf("pgbench: %v\n%s", err, out)
		}
		ms, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ms*1000)
	}
	return median(all)
}

// define makes the actions of the workload, and waits until capture knows them.
func (s *stage) define(t testing.TB, running ...*process) {
	if s.work.define == "" {
		return
	}
	execute(t, s.a, s.work.define)
	conn := connect(t, s.a)
	until(t, 20*time.Millisecond, "the definitions", running, func() bool {
		return value[bool](t, conn, "SELECT definitions <> '{}' FROM pgbridge.chain")
	})
}
