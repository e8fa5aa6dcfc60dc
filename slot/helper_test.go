package slot_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/decoder"
	"github.com/pgbridge/pgbridge/internal/pgtest"
	"github.com/pgbridge/pgbridge/slot"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// name is the slot and the publication of a test. Slots are the server's, so
// each test has its own.
func name(t testing.TB) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(t.Name()))
}

// replication is the configuration of a replication connection.
func replication(t testing.TB, db *pgtest.DB) *pgconn.Config {
	t.Helper()
	config, err := pgconn.ParseConfig(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["replication"] = "database"
	config.RuntimeParams["client_encoding"] = "UTF8"
	return config
}

// connect opens a replication connection that is closed when the test ends.
func connect(t testing.TB, config *pgconn.Config) *slot.Conn {
	t.Helper()
	conn, err := slot.Connect(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// prepare makes a table, a publication and a slot.
func prepare(t testing.TB, db *pgtest.DB) {
	t.Helper()
	db.Exec(t, `CREATE TABLE t (id int PRIMARY KEY, v text)`)
	db.Exec(t, `CREATE PUBLICATION `+name(t)+` FOR TABLE t`)
	if _, err := connect(t, replication(t, db)).Create(t.Context(), name(t)); err != nil {
		t.Fatal(err)
	}
}

// start opens the stream of what prepare made.
func start(t testing.TB, config *pgconn.Config, from action.LSN) *slot.Stream {
	t.Helper()
	stream, err := connect(t, config).Start(t.Context(), name(t), name(t), from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stream.Close() })
	return stream
}

// run sends status replies until the test ends.
func run(t testing.TB, stream *slot.Stream) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- stream.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("run: got %v, want that it was cancelled", err)
		}
	})
}

// reader reads the inserts of a stream.
type reader struct {
	stream *slot.Stream
	dec    decoder.Decoder
	ids    []string     // first column of each row
	values []int        // length of the second
	ends   []action.LSN // of each commit that had rows
	at     action.LSN   // everything up to here was read
	inTx   int
}

// take reads one message; the error is that of Next.
func (r *reader) take(t testing.TB, deadline time.Time) error {
	t.Helper()
	msg, err := r.stream.Next(deadline)
	if err != nil {
		return err
	}
	if msg.Data == nil {
		r.at = max(r.at, msg.End)
		return nil
	}
	e, err := r.dec.Decode(msg.Data)
	if err != nil {
		t.Fatal(err)
	}
	switch e.Kind {
	case decoder.Begin:
		r.inTx = 0
	case decoder.Row:
		r.inTx++
		r.ids = append(r.ids, string(e.Values[0]))
		r.values = append(r.values, len(e.Values[1]))
	case decoder.Commit:
		r.at = max(r.at, e.End)
		if r.inTx > 0 {
			r.ends = append(r.ends, e.End)
		}
	}
	return nil
}

// upTo reads everything up to a position and returns the ids.
func (r *reader) upTo(t testing.TB, end action.LSN) string {
	t.Helper()
	for r.at < end {
		if err := r.take(t, time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(r.ids, " ")
}

// now is the end of the WAL.
func now(t testing.TB, db *pgtest.DB) action.LSN {
	t.Helper()
	return lsn(t, db, `SELECT pg_current_wal_lsn()`)
}

// lsn runs a query that yields a position.
func lsn(t testing.TB, db *pgtest.DB, query string, args ...any) action.LSN {
	t.Helper()
	l, err := action.ParseLSN(db.Value(t, query, args...))
	if err != nil {
		t.Fatal(err)
	}
	return l
}
