package main

import (
	"fmt"
	"testing"
)

// workload is a data set and how it comes about.
type workload struct {
	name   string
	unit   string
	tables []string // to compare afterwards
	before string   // SQL that makes the tables, and the rows that are there before init
	// load writes what is to be replicated. Nil: nothing is.
	load func(*bench, testing.TB, *stage)
	// define is SQL, after init, that defines actions.
	define string
	// count is SQL for how many units are there.
	count string
	// follower: a follower is set up before load.
	follower bool
	// checkpoint: one is in the archive.
	checkpoint bool
}

// A narrow row with a key, as in most tables of most applications.
const (
	item    = `CREATE TABLE item (id bigint PRIMARY KEY, title text NOT NULL, n integer NOT NULL, at timestamptz NOT NULL);`
	newItem = `INSERT INTO item SELECT i, left(md5(i::text), 20), mod(i, 1000), clock_timestamp() FROM generate_series(%s, %s) i`
	items   = `SELECT count(*) FROM item`
)

var bankTables = []string{"pgbench_accounts", "pgbench_branches", "pgbench_tellers", "pgbench_history"}

var (
	// small is W1: transactions of one row.
	small = workload{
		name: "w1", unit: "tx/s", tables: []string{"item"}, before: item, count: items, follower: true,
		load: func(b *bench, t testing.TB, s *stage) { b.loadItems(t, s, b.scaled(1_000_000), 1) },
	}
	// bulk is W2: transactions of 1,000 rows.
	bulk = workload{
		name: "w2", unit: "rows/s", tables: []string{"item"}, before: item, count: items, follower: true,
		load: func(b *bench, t testing.TB, s *stage) { b.loadItems(t, s, b.scaled(1_000_000), 1000) },
	}
	// huge is W3: one transaction.
	huge = workload{
		name: "w3", unit: "rows/s", tables: []string{"item"}, before: item, count: items, follower: true,
		load: func(b *bench, t testing.TB, s *stage) { b.loadItems(t, s, b.scaled(5_000_000), b.scaled(5_000_000)) },
	}
	// mapped is W2 with rows that are named after a function.
	mapped = workload{
		name: "mapped", unit: "rows/s", tables: []string{"item"}, before: item + addItem, define: defineAdd + mapAdd, count: items, follower: true,
		load: func(b *bench, t testing.TB, s *stage) { b.loadItems(t, s, b.scaled(1_000_000), 1000) },
	}
	// calls are transactions of one call.
	calls = workload{
		name: "calls", unit: "calls/s", tables: []string{"item"}, before: item + addItem, define: defineAdd, count: items, follower: true,
		load: func(b *bench, t testing.TB, s *stage) { b.callItems(t, s, b.scaled(100_000)) },
	}
	// table has its rows before init.
	table = workload{name: "table", unit: "rows/s", tables: []string{"item"}, before: item, count: items}
	// indexed is table with another index, and in a checkpoint.
	indexed = workload{
		name: "indexed", unit: "rows/s", tables: []string{"item"}, count: items, checkpoint: true,
		before: item + `CREATE INDEX item_title ON item (title, n);`,
	}
	// bank is pgbench's tables, not small; saved is the same in a checkpoint.
	bank  = workload{name: "bank", unit: "rows/s", tables: bankTables, count: `SELECT count(*) FROM pgbench_accounts`}
	saved = workload{name: "saved", unit: "rows/s", tables: bankTables, count: `SELECT count(*) FROM pgbench_accounts`, checkpoint: true}
	// busy is bank, and what counts is what pgbench does there.
	busy = workload{name: "busy", unit: "tx/s", tables: bankTables, count: `SELECT count(*) FROM pgbench_accounts`}
	// pings are written while they are measured.
	pings = workload{
		name: "pings", unit: "ms", tables: []string{"ping"}, follower: true, count: `SELECT count(*) FROM ping`,
		before: `CREATE TABLE ping (id bigint PRIMARY KEY, title text NOT NULL)`,
	}
	// tpcb is what pgbench does by default.
	tpcb = workload{
		name: "tpcb", unit: "tx/s", tables: bankTables,
		count: `SELECT count(*) FROM pgbench_history`, follower: true, load: (*bench).runPgbench,
	}
)

// scaled is n times the factor of -scale, in round thousands.
func (b *bench) scaled(n int) int { return max(1000, int(float64(n)*b.scale)/1000*1000) }

// fill makes the tables and what is there before init.
func (b *bench) fill(t testing.TB, s *stage) {
	if s.work.before != "" {
		execute(t, s.a, s.work.before)
	}
	switch s.work.name {
	case table.name, indexed.name:
		execute(t, s.a, fmt.Sprintf(newItem, "1", fmt.Sprint(b.scaled(5_000_000))))
	case tpcb.name, bank.name, saved.name, busy.name:
		scale := 50
		if s.work.name == tpcb.name {
			scale = 10
		}
		client(t, s.a, "pgbench", "--initialize", "--quiet", "--scale", fmt.Sprint(max(2, int(float64(scale)*b.scale))))
		execute(t, s.a, "ALTER TABLE pgbench_history REPLICA IDENTITY FULL")
	}
}

// loadItems inserts total rows, size of them in a transaction.
func (b *bench) loadItems(t testing.TB, s *stage, total, size int) {
	insert := fmt.Sprintf(newItem, "low", fmt.Sprintf("low + %d - 1", size))
	execute(t, s.a, fmt.Sprintf(`DO $$ BEGIN FOR low IN 1..%d BY %d LOOP %s; COMMIT; END LOOP; END $$`, total, size, insert))
}

func (b *bench) runPgbench(t testing.TB, s *stage) {
	const clients = 4
	client(t, s.a, "pgbench", "--no-vacuum", "--protocol=prepared", "--jobs=2", fmt.Sprintf("--client=%d", clients),
		fmt.Sprintf("--transactions=%d", b.scaled(100_000)/clients))
}
