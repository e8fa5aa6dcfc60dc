package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

const (
	pingRate    = 500 // transactions per second
	pingSeconds = 20
	pingWriters = 8 // connections: each waits for the disk at every commit
	pingEvery   = time.Millisecond
)

// latency measures, at pingRate, the time from a commit's acknowledgement at
// the source until its row can be seen on the target.
func latency(b *bench, t testing.TB, frozen *stage, r row) result {
	out := result{Row: r.name, Against: r.against, Unit: frozen.work.unit, Rule: rule{"most", r.floor}}
	for b.round = 1; b.round <= b.rounds; b.round++ {
		ours, peer := once(b, t, frozen, pingBridge), once(b, t, frozen, pingSubscription)
		out.Rounds = append(out.Rounds, round{Ours: ours, Peer: &peer, Figure: ours.Median})
		b.say("%s: round %d: pgbridge %.0f ms, p99 %.0f ms; %s %.0f ms, p99 %.0f ms", r.name, b.round, ours.Median, ours.P99, r.against, peer.Median, peer.P99)
	}
	return out
}

func pingBridge(b *bench, t testing.TB, frozen *stage) measure {
	s := frozen.thaw(t)
	node, url := b.startNode(t, s.node)
	follower := b.start(t, "follower", s.follower(url), "run")
	bridge := b.start(t, "bridge", s.source(url), "run")
	return b.ping(t, s, s.b, node, bridge, follower)
}

func pingSubscription(b *bench, t testing.TB, frozen *stage) measure {
	s := frozen.thaw(t)
	s.createSubscription(t)
	return b.ping(t, s, s.peer)
}

// pings notes when each row was committed and when it was first seen.
type pingTimes struct {
	mu                  sync.Mutex
	committed, received []time.Time // by id, from 1
}

func (b *bench) ping(t testing.TB, s *stage, target *pgtest.DB, running ...*process) measure {
	t.Helper()
	conn := connect(t, target)
	s.a.Exec(t, "INSERT INTO ping VALUES (0, 'warm')")
	until(t, pingEvery, "the first row", running, func() bool { return value[bool](t, conn, "SELECT EXISTS (SELECT FROM ping)") })

	warm, total := pingRate, pingRate+max(pingRate, int(pingRate*pingSeconds*b.scale))
	times := &pingTimes{committed: make([]time.Time, total+1), received: make([]time.Time, total+1)}
	used := s.usage(t)
	began := time.Now()
	group, ctx := errgroup.WithContext(t.Context())
	ticks := pace(ctx, group, total)
	for range pingWriters {
		writer := connect(t, s.a)
		group.Go(func() error { return times.write(ctx, writer, ticks) })
	}
	group.Go(func() error { return times.observe(ctx, conn, total) })
	if err := group.Wait(); err != nil {
		t.Fatalf("ping: %v", err)
	}
	m := measure{Units: total, Seconds: time.Since(began).Seconds(), Total: time.Since(began).Seconds(), CPU: used.since(t, running...)}
	m.Median, m.P99 = times.quantiles(warm)
	return m
}

// pace hands out the ids 1 to total at pingRate, however slow the writers are.
func pace(ctx context.Context, group *errgroup.Group, total int) <-chan int {
	ticks := make(chan int, total)
	group.Go(func() error {
		defer close(ticks)
		began := time.Now()
		for id := 1; id <= total; id++ {
			due := began.Add(time.Duration(id) * time.Second / pingRate)
			select {
			case <-time.After(time.Until(due)):
			case <-ctx.Done():
				return ctx.Err()
			}
			ticks <- id
		}
		return nil
	})
	return ticks
}

func (p *pingTimes) write(ctx context.Context, conn *pgx.Conn, ids <-chan int) error {
	for id := range ids {
		if _, err := conn.Exec(ctx, "INSERT INTO ping VALUES ($1::bigint, left(md5($1::bigint::text), 20))", id); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		p.note(p.committed, id)
	}
	return nil
}

// observe looks every moment for rows it has not seen. Rows may come out of the
// order of their ids: all up to done were seen, and some after it.
func (p *pingTimes) observe(ctx context.Context, conn *pgx.Conn, total int) error {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for done := 0; done < total; {
		rows, err := conn.Query(ctx, "SELECT id::int FROM ping WHERE id > $1 ORDER BY id", done)
		if err != nil {
			return fmt.Errorf("observe: %w", err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err != nil {
			return fmt.Errorf("observe: %w", err)
		}
		for _, id := range ids {
			p.note(p.received, id)
			if id == done+1 {
				done = id
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// note writes down the first time of an id.
func (p *pingTimes) note(times []time.Time, id int) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if times[id].IsZero() {
		times[id] = now
	}
}

// quantiles are median and 99th percentile in milliseconds, of the ids after
// the first warm.
func (p *pingTimes) quantiles(warm int) (median, p99 float64) {
	var all []float64
	for id := warm + 1; id < len(p.committed); id++ {
		all = append(all, max(0, float64(p.received[id].Sub(p.committed[id]).Microseconds())/1000))
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)*99/100]
}
