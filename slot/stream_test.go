package slot_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/internal/pgtest"
	"github.com/pgbridge/pgbridge/slot"
)

var noDeadline time.Time

// Where a stream begins: at the later of what it is told and what the slot has
// confirmed.
func TestStartFrom(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	prepare(t, db)
	for id := range 4 {
		db.Exec(t, `INSERT INTO t VALUES ($1)`, id)
	}
	end := now(t, db)
	again := func(want string, stream *slot.Stream) *reader {
		t.Helper()
		r := &reader{stream: stream}
		if got := r.upTo(t, end); got != want {
			t.Errorf("got rows %q, want %q", got, want)
		}
		stream.Close()
		db.Wait(t, "f", `SELECT active FROM pg_replication_slots WHERE slot_name = $1`, name(t))
		return r
	}
	r := again("0 1 2 3", start(t, replication(t, db), 0))
	again("0 1 2 3", start(t, replication(t, db), 0)) // nothing was acknowledged
	again("2 3", start(t, replication(t, db), r.ends[1]))
	again("2 3", start(t, replication(t, db), r.ends[1]-1)) // in the middle of the commit

	stream := start(t, replication(t, db), 0)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- stream.Run(ctx) }()
	stream.Ack(r.ends[0])
	db.Wait(t, r.ends[0].String(), `SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1`, name(t))
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("run: got %v, want that it was cancelled", err)
	}
	again("0 1 2 3", stream) // it began before the acknowledgement
	again("1 2 3", start(t, replication(t, db), 0))
}

func TestAck(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	prepare(t, db)
	const confirmed = `SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1`
	created := db.Value(t, confirmed, name(t))
	r := reader{stream: start(t, replication(t, db), 0)}
	run(t, r.stream)
	for id := range 3 {
		db.Exec(t, `INSERT INTO t VALUES ($1)`, id)
		r.upTo(t, now(t, db))
		if got := db.Value(t, confirmed, name(t)); id == 0 && got != created {
			t.Errorf("before the first ack: got %s, want %s", got, created)
		}
		r.stream.Ack(r.ends[id])
		db.Wait(t, r.ends[id].String(), confirmed, name(t))
	}
	r.stream.Ack(r.ends[0]) // too late, and nothing happens
	r.stream.Ack(r.at)      // a keepalive's position
	db.Wait(t, r.at.String(), confirmed, name(t))
}

// dribble gives the bytes of a connection away in small pieces, and before
// each of them says once that the deadline has passed.
type dribble struct {
	net.Conn
	on, late atomic.Bool
}

func (d *dribble) Read(p []byte) (int, error) {
	if !d.on.Load() {
		return d.Conn.Read(p)
	}
	if d.late.CompareAndSwap(false, true) {
		return 0, slot.ErrDeadline
	}
	d.late.Store(false)
	return d.Conn.Read(p[:min(len(p), 3)])
}

func TestDeadlineAnywhere(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	prepare(t, db)
	config := replication(t, db)
	var slow *dribble
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		slow = &dribble{Conn: conn}
		return slow, err
	}
	r := reader{stream: start(t, config, 0)}
	slow.on.Store(true)
	db.Exec(t, `INSERT INTO t SELECT i, repeat('x', i) FROM generate_series(1, 100) i`)
	passed := 0
	for end := now(t, db); r.at < end; {
		err := r.take(t, noDeadline)
		if errors.Is(err, slot.ErrDeadline) {
			passed++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if passed < 1000 {
		t.Errorf("the deadline passed %d times, want often", passed)
	}
	for i, n := range r.values {
		if n != i+1 {
			t.Fatalf("row %d has %d bytes, want %d", i, n, i+1)
		}
	}
	if len(r.values) != 100 {
		t.Errorf("got %d rows, want 100", len(r.values))
	}
}

func TestDeadlineWhenIdle(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	prepare(t, db)
	r := reader{stream: start(t, replication(t, db), 0)}
	for range 3 {
		deadline := time.Now().Add(20 * time.Millisecond)
		for {
			err := r.take(t, deadline)
			if errors.Is(err, slot.ErrDeadline) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if early := time.Until(deadline); early > 0 {
			t.Errorf("the deadline passed %v early", early)
		}
	}
	db.Exec(t, `INSERT INTO t VALUES (1)`)
	if got := r.upTo(t, now(t, db)); got != "1" {
		t.Errorf("after it: got rows %q, want 1", got)
	}
}

func TestLargeRow(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	prepare(t, db)
	r := reader{stream: start(t, replication(t, db), 0)}
	db.Exec(t, `INSERT INTO t VALUES (1, repeat('x', 64 << 20)), (2, 'small')`)
	if got := r.upTo(t, now(t, db)); got != "1 2" || r.values[0] != 64<<20 {
		t.Errorf("got rows %q of %v bytes, want 1 with 64 MiB and 2", got, r.values)
	}
}

// While nobody calls Next nobody sees that the server asks for a sign of life,
// and it gets one nevertheless: also when it waits to send.
func TestKeepsAlive(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, backlog string }{
		{"idle", `SELECT 1`},
		{"backlog", `INSERT INTO t SELECT i, repeat('x', 10000) FROM generate_series(1, 3000) i`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t)
			prepare(t, db)
			config := replication(t, db)
			config.RuntimeParams["wal_sender_timeout"] = "10s"
			config.RuntimeParams["application_name"] = name(t)
			r := reader{stream: start(t, config, 0)}
			run(t, r.stream)
			db.Exec(t, test.backlog)
			db.Wait(t, "t", `SELECT reply_time > backend_start + interval '25 seconds' FROM pg_stat_replication WHERE application_name = $1`, name(t))
			db.Exec(t, `INSERT INTO t VALUES (0)`)
			if got := r.upTo(t, now(t, db)); !strings.HasSuffix(" "+got, " 0") {
				t.Errorf("afterwards: got rows %.20q…, want the last to be 0", got)
			}
		})
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	prepare(t, db)
	stream := start(t, replication(t, db), 0)
	next, ran := make(chan error), make(chan error)
	go func() {
		for {
			if _, err := stream.Next(noDeadline); err != nil {
				next <- err
				return
			}
		}
	}()
	go func() { ran <- stream.Run(context.Background()) }()
	db.Wait(t, "t", `SELECT active FROM pg_replication_slots WHERE slot_name = $1`, name(t))
	for range 2 {
		if err := stream.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	stream.Ack(1 << 60) // to a closed stream: nothing but that Run notices
	if err := <-next; !errors.Is(err, net.ErrClosed) {
		t.Errorf("next: got %v, want that the connection is closed", err)
	}
	if err := <-ran; err == nil || !strings.Contains(err.Error(), "send status to slot") {
		t.Errorf("run: got %v, want that it cannot send", err)
	}
	db.Wait(t, "f", `SELECT active FROM pg_replication_slots WHERE slot_name = $1`, name(t))
}
