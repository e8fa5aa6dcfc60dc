package checkpoint_test

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// While others write, a checkpoint holds exactly what was committed before its
// position: as many rows as the stream has inserts before it.
func TestCreateIsOneMoment(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(t, `CREATE TABLE log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, writer int);
		CREATE TABLE twin (id bigint PRIMARY KEY, writer int)`)
	o := newOrigin(t, db)
	stop, stopped := make(chan struct{}), make(chan struct{}, 3)
	for writer := range 3 {
		conn := db.Connect(t)
		go func() {
			defer func() { stopped <- struct{}{} }()
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, err := conn.Exec(t.Context(), `WITH l AS (INSERT INTO log (writer) VALUES ($1) RETURNING id, writer) INSERT INTO twin SELECT * FROM l`, writer)
				if err != nil {
					t.Errorf("write: %v", err)
					return
				}
			}
		}()
	}
	var made []checkpoint.Result
	for range 4 {
		made = append(made, o.create(t))
	}
	close(stop)
	for range 3 {
		<-stopped
	}
	for _, r := range made {
		m := o.manifest(t, r)
		rows := o.rows(t, m)
		if !slices.Equal(rows["public.log"], rows["public.twin"]) {
			t.Errorf("checkpoint %d: the two tables are of different moments: %d and %d rows", r.Number, len(rows["public.log"]), len(rows["public.twin"]))
		}
		if got, want := int64(len(rows["public.log"])), o.insertsBefore(t, m.LSN)/2; got != want {
			t.Errorf("checkpoint %d: got %d rows, the stream has %d before %s", r.Number, got, want, m.LSN)
		}
		for _, s := range m.State {
			if got, want := stateOf(s), stateInSQL(t, db, rows[s.Table.String()]); got != want {
				t.Errorf("checkpoint %d, %s: got state %s, want %s", r.Number, s.Table, got, want)
			}
		}
	}
	if made[3].Rows <= made[0].Rows {
		t.Errorf("nothing was written meanwhile: got %d and then %d rows", made[0].Rows, made[3].Rows)
	}
}

// insertsBefore counts the inserts that the slot of the chain gives with a commit
// before lsn.
func (o *origin) insertsBefore(t *testing.T, lsn action.LSN) (n int64) {
	t.Helper()
	rows, err := o.db.Connect(t).Query(t.Context(), `SELECT data FROM pg_logical_slot_peek_binary_changes(
			(SELECT slot FROM pgbridge.database), NULL, NULL, 'proto_version', '1', 'publication_names', 'pgbridge')`)
	if err != nil {
		t.Fatal(err)
	}
	var data []byte
	var commit action.LSN
	_, err = pgx.ForEachRow(rows, []any{&data}, func() error {
		switch {
		case data[0] == 'B':
			commit = action.LSN(binary.BigEndian.Uint64(data[1:]))
		case data[0] == 'I' && commit < lsn:
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The schema is altered, and tables are rewritten and emptied, all the while. Each
// checkpoint holds definitions and rows of one moment.
func TestCreateWhileTheSchemaChanges(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(t, `CREATE TABLE steady (id int PRIMARY KEY); INSERT INTO steady SELECT generate_series(1, 1000);
		CREATE TABLE restless (id int PRIMARY KEY, v text); INSERT INTO restless SELECT i, 'x' FROM generate_series(1, 1000) i`)
	o := newOrigin(t, db)
	stop, stopped := make(chan struct{}), make(chan struct{})
	conn := db.Connect(t)
	var between atomic.Int64 // statements; longer where a snapshot takes longer
	between.Store(int64(700 * time.Millisecond))
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			for _, statement := range []string{
				fmt.Sprintf("ALTER TABLE restless ADD c%d int DEFAULT %[1]d", i),
				"ALTER TABLE restless ALTER v TYPE varchar USING v || 'x'",
				"BEGIN; TRUNCATE restless; INSERT INTO restless SELECT i, 'again' FROM generate_series(1, 1000) i; COMMIT",
				fmt.Sprintf("ALTER TABLE restless DROP c%d", i), "ALTER TABLE restless ALTER v TYPE text",
			} {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(between.Load())):
				}
				if _, err := conn.Exec(t.Context(), statement); err != nil {
					t.Errorf("%s: %v", statement, err)
					return
				}
			}
		}
	}()
	var made []checkpoint.Result
	for range 20 {
		r, err := o.maker.Create(t.Context())
		if err == nil {
			made = append(made, r)
		} else if !strings.Contains(err.Error(), "try again when that is over") {
			t.Error(err)
		} else {
			between.Store(2 * between.Load())
		}
		if len(made) == 3 {
			break
		}
	}
	close(stop)
	<-stopped
	if len(made) == 0 {
		t.Fatal("no checkpoint was made")
	}
	for _, r := range made {
		m := o.manifest(t, r)
		rows := o.rows(t, m)
		if got := len(rows["public.restless"]); got != 1000 {
			t.Errorf("checkpoint %d: got %d rows, want 1000: a table that was rewritten looks empty", r.Number, got)
		}
		for i, f := range m.Files {
			if len(f.Columns) != len(m.Tables[i].Columns) || strings.Count(rows[f.Table.String()][0], "\t")+1 != len(f.Columns) {
				t.Errorf("checkpoint %d, %s: columns %s, of %v, do not fit %q", r.Number, f.Table, f.Columns, m.Tables[i].Columns, rows[f.Table.String()][0])
			}
		}
		_, pre := o.read(t, archive.TypeChunk, m.PreData[0].Seq, m.PreData[0].Digest)
		for _, c := range m.Tables[0].Columns {
			if !strings.Contains(string(pre), "\n    "+c.Name+" "+c.Type) {
				t.Errorf("checkpoint %d: the schema has no column %s %s:\n%s", r.Number, c.Name, c.Type, pre)
			}
		}
	}
}

// A transaction that runs is waited for, and what it wrote is in the checkpoint.
func TestCreateWaitsForTransactions(t *testing.T) {
	t.Parallel()
	db := pgtest.Start(t, pgtest.Config{NoSync: true}).Database(t) // where no other test has transactions
	db.Exec(t, `CREATE TABLE t (id int PRIMARY KEY)`)
	o := newOrigin(t, db)
	writer := db.Connect(t)
	if _, err := writer.Exec(t.Context(), `BEGIN; INSERT INTO t VALUES (1)`); err != nil {
		t.Fatal(err)
	}
	lines := make(lineWriter, 10)
	o.maker.Log = slog.New(slog.NewTextHandler(lines, nil))
	type end struct {
		r   checkpoint.Result
		err error
	}
	ended := make(chan end, 1)
	go func() {
		r, err := o.maker.Create(t.Context())
		ended <- end{r, err}
	}()
	if line := <-lines; !strings.Contains(line, "waits for the transactions") || !strings.Contains(line, fmt.Sprint("pid ", writer.PgConn().PID())) {
		t.Errorf("log: got %s, want whom it waits for", line)
	}
	if _, err := writer.Exec(t.Context(), `COMMIT`); err != nil {
		t.Fatal(err)
	}
	e := <-ended
	if e.err != nil || e.r.Rows != 1 {
		t.Errorf("got %+v, %v, want the row", e.r, e.err)
	}
}

// lineWriter hands on what is logged.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}
