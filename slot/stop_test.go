package slot_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/internal/pgtest"
	"github.com/pgbridge/pgbridge/slot"
)

// follower reads a stream in the background and acknowledges all of it, until
// it breaks.
func follow(t *testing.T, stream *slot.Stream) <-chan error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ran, ended := make(chan error, 1), make(chan error, 1)
	go func() { ran <- stream.Run(ctx) }()
	go func() {
		defer cancel()
		r := reader{stream: stream}
		for {
			if err := r.take(t, noDeadline); err != nil {
				ended <- err
				return
			}
			stream.Ack(r.at)
		}
	}()
	t.Cleanup(func() {
		stream.Close()
		<-ran
	})
	return ended
}

func TestServerStops(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Config{NoSync: true})
	db := c.Database(t)
	prepare(t, db)
	tests := []struct {
		name string
		stop func(testing.TB)
		want string
	}{
		{"fast", c.Stop, "the server ended it"}, // it waits for the last acknowledgement
		{"immediate", c.StopImmediate, "read stream: "},
		{"killed", c.Kill, "read stream: "},
	}
	for i, test := range tests {
		ended := follow(t, start(t, replication(t, db), 0))
		db.Exec(t, `INSERT INTO t VALUES ($1)`, i)
		began := time.Now()
		test.stop(t)
		if took := time.Since(began); took > 50*time.Second { // wal_sender_timeout is a minute
			t.Errorf("%s: took %v", test.name, took)
		}
		if err := <-ended; err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, slot.ErrLost) {
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		}
		c.Start(t)
	}
	r := reader{stream: start(t, replication(t, db), 0)}
	db.Exec(t, `INSERT INTO t VALUES (9)`)
	if got := r.upTo(t, now(t, db)); !strings.HasSuffix(got, "9") {
		t.Errorf("after all: got rows %q, want the last to be 9", got)
	}
}

// Run sees it too when the server goes away, and Start when it is not there.
func TestServerIsAway(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Config{NoSync: true})
	db := c.Database(t)
	prepare(t, db)
	conn := connect(t, replication(t, db))
	stream := start(t, replication(t, db), 0)
	ran := make(chan error)
	go func() { ran <- stream.Run(context.Background()) }()
	c.Kill(t)
	if err := <-ran; err == nil || !strings.Contains(err.Error(), "send status to slot") {
		t.Errorf("run: got %v, want that it cannot send", err)
	}
	if _, err := conn.Start(t.Context(), name(t), name(t), 0); err == nil || errors.Is(err, slot.ErrLost) {
		t.Errorf("start: got %v, want an error that is not ErrLost", err)
	}
	if _, err := slot.Connect(t.Context(), replication(t, db)); err == nil {
		t.Error("connect: got no error")
	}
}
