package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// Whatever happens to tables of whatever kind, in transactions of every size
// from several sessions at once, and however often publisher and follower are
// stopped in between: every copy ends as its source.
func TestRandomHistories(t *testing.T) { randomly(t, randomHistory) }

// randomly runs a test with one seed after the other. PGBRIDGE_TEST_BUDGET says
// for how long (30s), PGBRIDGE_TEST_SEED repeats one.
func randomly(t *testing.T, test func(*testing.T, uint64)) {
	budget := 30 * time.Second
	if text := os.Getenv("PGBRIDGE_TEST_BUDGET"); text != "" {
		var err error
		if budget, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	seed := rand.Uint64()
	if text := os.Getenv("PGBRIDGE_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(budget); ; seed++ {
		name := strconv.FormatUint(seed, 10)
		if !t.Run(name, func(t *testing.T) { test(t, seed) }) {
			t.Fatalf("to see it again: PGBRIDGE_TEST_SEED=%s go test ./integration -run %s", name, t.Name())
		}
		if time.Now().After(end) || os.Getenv("PGBRIDGE_TEST_SEED") != "" {
			return
		}
	}
}

func randomHistory(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	tables := randomSchema(r)
	source, follower := pgtest.New(t), pgtest.New(t)
	for _, table := range tables {
		t.Log(table.create)
		source.Exec(t, table.create)
		_ = source.ExecErr(table.insert(r)) // it may break a constraint
	}
	p := newPipe(t, source)
	publishing, following := p.publish(t), p.follow(t, follower)
	for round := range 2 {
		var sessions sync.WaitGroup
		for s := range uint64(2) {
			sessions.Go(func() {
				live(t, source, tables, rand.New(rand.NewPCG(seed, uint64(round)*10+s+1)))
			})
		}
		for range r.IntN(4) {
			if r.IntN(2) == 0 {
				publishing.stop(t)
				publishing = p.publish(t)
			} else {
				following.stop(t)
				following = p.follow(t, follower)
			}
		}
		sessions.Wait()
		p.caughtUp(t, follower, publishing, following)
		pgtest.RequireEqual(t, pgtest.Dump(t, follower), pgtest.Dump(t, source))
	}
	want := pgtest.Dump(t, source)
	pgtest.RequireEqual(t, pgtest.Dump(t, p.restore(t)), want)
	pgtest.RequireEqual(t, pgtest.Dump(t, p.restoreExactly(t)), want)
}

// live runs random transactions in one session.
func live(t *testing.T, db *pgtest.DB, tables []randomTable, r *rand.Rand) {
	ctx := context.Background() // as long as it takes
	conn, err := pgx.Connect(ctx, db.URL())
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(ctx)
	for range 10 {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return liveOnce(ctx, tx, tables, r) })
		if err != nil && !expected(err) {
			t.Error(err)
			return
		}
	}
}

var errRandom = errors.New("rolled back at random")

// liveOnce is one transaction of 1 to 200 statements. One that fails is undone
// alone, and some are undone at random.
func liveOnce(ctx context.Context, tx pgx.Tx, tables []randomTable, r *rand.Rand) error {
	statements := 1
	switch r.IntN(10) {
	case 0:
		statements = r.IntN(200)
	case 1, 2, 3:
		statements = r.IntN(10)
	}
	for range statements {
		sql := tables[r.IntN(len(tables))].statement(r)
		err := pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
			if _, err := inner.Exec(ctx, sql); err != nil {
				return err
			}
			if r.IntN(20) == 0 {
				return errRandom
			}
			return nil
		})
		if err != nil && !expected(err) {
			return fmt.Errorf("%w in %s", err, sql)
		}
	}
	if r.IntN(10) == 0 {
		return errRandom
	}
	return nil
}

// expected tells whether a random statement may fail so: on a constraint, on a
// number that grew too large, because two sessions were in each other's way, or
// because a deferred check is open.
func expected(err error) bool {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return errors.Is(err, errRandom)
	}
	return strings.HasPrefix(pgErr.Code, "23") || strings.HasPrefix(pgErr.Code, "22") || pgErr.Code == "40P01" || pgErr.Code == "21000" || pgErr.Code == "55006"
}
