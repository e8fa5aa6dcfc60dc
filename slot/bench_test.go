package slot_test

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/decoder"
	"github.com/pgbridge/pgbridge/internal/pgtest"
	"github.com/pgbridge/pgbridge/slot"
)

// BenchmarkStream compares the way from the socket to the body of a record
// with pg_recvlogical, which writes the same stream to /dev/null.
func BenchmarkStream(b *testing.B) {
	const rows = 200_000
	for _, perTx := range []int{1000, 1} {
		db := pgtest.Start(b, pgtest.Config{Settings: map[string]string{"max_wal_size": "8GB", "autovacuum": "off"}}).Database(b)
		db.Exec(b, `CREATE TABLE t (id int PRIMARY KEY, name text, n numeric); CREATE PUBLICATION p FOR TABLE t`)
		db.Exec(b, `SELECT pg_create_logical_replication_slot('loaded', 'pgoutput')`)
		db.Exec(b, fmt.Sprintf(`DO $$ BEGIN
			SET synchronous_commit = off;
			FOR tx IN 0 .. %d LOOP
				INSERT INTO t SELECT tx * %d + i, 'a row of some length', 42.50 FROM generate_series(1, %[2]d) i;
				COMMIT;
			END LOOP;
		END $$`, rows/perTx-1, perTx))
		end := lsn(b, db, `SELECT pg_logical_emit_message(false, '', '')`)
		for _, reader := range []struct {
			name string
			read func(*testing.B, *pgtest.DB, action.LSN) time.Duration
		}{{"slot", readSlot}, {"pg_recvlogical", readPlain}} {
			b.Run(fmt.Sprintf("rows=%d/%s", perTx, reader.name), func(b *testing.B) {
				var took time.Duration
				for range b.N {
					db.Exec(b, `SELECT pg_copy_logical_replication_slot('loaded', 'copied')`)
					took += reader.read(b, db, end)
					db.Wait(b, "f", `SELECT active FROM pg_replication_slots WHERE slot_name = 'copied'`)
					db.Exec(b, `SELECT pg_drop_replication_slot('copied')`)
				}
				b.ReportMetric(float64(rows*b.N)/took.Seconds(), "rows/s")
				b.ReportMetric(float64(rows/perTx*b.N)/took.Seconds(), "tx/s")
			})
		}
	}
}

func readSlot(b *testing.B, db *pgtest.DB, end action.LSN) time.Duration {
	conn := connect(b, replication(b, db))
	began := time.Now()
	stream, err := conn.Start(b.Context(), "copied", "p", 0)
	if err != nil {
		b.Fatal(err)
	}
	defer stream.Close()
	var build builder
	for {
		msg, err := stream.Next(time.Time{})
		if err != nil {
			b.Fatal(err)
		}
		if msg.End >= end {
			return time.Since(began)
		}
		if err := build.take(msg); err != nil {
			b.Fatal(err)
		}
	}
}

// builder does what a publisher must.
type builder struct {
	dec  decoder.Decoder
	body action.Body
}

func (w *builder) take(msg slot.Message) error {
	if msg.Data == nil {
		return nil
	}
	e, err := w.dec.Decode(msg.Data)
	if err != nil {
		return err
	}
	switch e.Kind {
	case decoder.Begin:
		if w.body.Len() > 4<<20 {
			w.body.Reset()
		}
		w.body.Begin(action.Tx{LSN: e.LSN, XID: e.XID, At: e.Time, Clock: action.Clock{Micros: e.Time}})
	case decoder.Row:
		w.body.Row(e.Shape, e.Values)
	case decoder.Commit:
		w.body.End()
	}
	return nil
}

func readPlain(b *testing.B, db *pgtest.DB, end action.LSN) time.Duration {
	cmd := exec.CommandContext(b.Context(), db.Cluster.Client(b, "pg_recvlogical"), "--start", "--no-loop", "--slot=copied", "--file=/dev/null",
		"--dbname="+db.Name, "--endpos="+end.String(), "--option=proto_version=1", "--option=publication_names=p", "--option=messages=true")
	cmd.Env = db.Env()
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return time.Since(began)
}

// BenchmarkLatency measures how long after a lone commit has returned its event
// is there, beside how long the commit took.
func BenchmarkLatency(b *testing.B) {
	db := pgtest.New(b)
	db.Exec(b, `CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t`)
	db.Exec(b, `SELECT pg_create_logical_replication_slot('latency', 'pgoutput')`)
	stream, err := connect(b, replication(b, db)).Start(b.Context(), "latency", "p", 0)
	if err != nil {
		b.Fatal(err)
	}
	defer stream.Close()
	conn := db.Connect(b)
	var dec decoder.Decoder
	var commits, events time.Duration
	for i := range b.N {
		began := time.Now()
		if _, err := conn.Exec(b.Context(), `INSERT INTO t VALUES ($1)`, i); err != nil {
			b.Fatal(err)
		}
		committed := time.Now()
		commits += committed.Sub(began)
		for seen := false; !seen; {
			msg, err := stream.Next(time.Time{})
			if err != nil {
				b.Fatal(err)
			}
			if msg.Data == nil {
				continue
			}
			e, err := dec.Decode(msg.Data)
			if err != nil {
				b.Fatal(err)
			}
			seen = e.Kind == decoder.Commit
		}
		events += time.Since(committed)
	}
	b.ReportMetric(float64(commits.Microseconds())/float64(b.N), "µs-to-commit")
	b.ReportMetric(float64(events.Microseconds())/float64(b.N), "µs-to-event")
}
