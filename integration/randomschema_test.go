package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/internal/pgtest"
	"github.com/pgbridge/pgbridge/postgres"
)

// However the schema changes among the rows, a follower ends as its source, and
// the database can be had again as it was at each of ten moments.
func TestRandomSchemas(t *testing.T) { randomly(t, randomSchemas) }

// snapshotAt is what the source held after a record.
type snapshotAt struct {
	head         string // epoch and number of the record
	schema, rows string
}

func randomSchemas(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 4))
	source, follower := pgtest.New(t), pgtest.New(t)
	source.Exec(t, `CREATE SCHEMA ev_a; CREATE SCHEMA ev_b; CREATE TYPE public.evolving_mood AS ENUM ('first', 'fixed')`)
	e := &evolution{r: r, db: source}
	for range 6 {
		_ = source.ExecErr(e.create(e.look(t))) // two columns may have one name
	}
	p := newPipeOf(t, source, source.URL(), postgres.ScopeAll)
	publishing, following := p.publish(t), p.follow(t, follower)
	var moments []snapshotAt
	for range 10 {
		e.live(t, 6+r.IntN(10))
		if r.IntN(3) == 0 {
			publishing.stop(t)
			publishing = p.publish(t)
		}
		if r.IntN(3) == 0 {
			following.stop(t)
			following = p.follow(t, follower)
		}
		moments = append(moments, snapshotAt{p.published(t, publishing, following), schemaOf(t, source), pgtest.Dump(t, source)})
	}
	p.caughtUp(t, follower, publishing, following)
	last := moments[len(moments)-1]
	pgtest.RequireEqual(t, schemaOf(t, follower), last.schema)
	pgtest.RequireEqual(t, pgtest.Dump(t, follower), last.rows)
	for _, m := range moments {
		db := p.restoreUntil(t, m.head)
		pgtest.RequireEqual(t, schemaOf(t, db), m.schema)
		pgtest.RequireEqual(t, pgtest.Dump(t, db), m.rows)
	}
}

// live runs transactions, each as one string of a client; a few statements each,
// of which any may fail, or be taken back.
func (e *evolution) live(t testing.TB, transactions int) {
	t.Helper()
	conn := e.db.Connect(t).PgConn()
	defer conn.Close(context.WithoutCancel(t.Context()))
	for range transactions {
		if e.r.IntN(2) == 0 {
			e.run(t, conn, e.one(t))
			continue
		}
		e.run(t, conn, "BEGIN")
		for range 1 + e.r.IntN(4) {
			e.run(t, conn, "SAVEPOINT a")
			one := e.one(t) // of the tables as they were before the transaction: some are gone
			e.run(t, conn, one)
			if conn.TxStatus() == 'E' || e.r.IntN(8) == 0 {
				e.run(t, conn, "ROLLBACK TO a")
			}
		}
		e.run(t, conn, []string{"COMMIT", "COMMIT", "COMMIT", "ROLLBACK"}[e.r.IntN(4)])
	}
}

func (e *evolution) run(t testing.TB, conn *pgconn.PgConn, statement string) {
	t.Helper()
	_, err := conn.Exec(t.Context(), statement).ReadAll()
	if len(statement) > 20 {
		t.Logf("%s -- %v", statement, err)
	}
	if conn.IsClosed() {
		t.Fatalf("%s: %v", statement, err)
	}
}

// restoreUntil rebuilds the database as it was after a record.
func (p *pipe) restoreUntil(t testing.TB, head string) *pgtest.DB {
	t.Helper()
	epoch, seq, _ := strings.Cut(head, ":")
	place := archive.Place{Writer: p.key.Writer(), Tx: archive.WholeRecord}
	var errs [2]error
	var e uint64
	e, errs[0] = strconv.ParseUint(epoch, 10, 32)
	place.Seq, errs[1] = strconv.ParseUint(seq, 10, 64)
	place.Epoch = uint32(e)
	if errs != [2]error{} {
		t.Fatal(fmt.Errorf("head %s: %v", head, errs))
	}
	db := p.source.Cluster.Database(t)
	p.join(t, db.URL())
	apply := p.applier(t, db.URL())
	apply.ToEnd, apply.Until = true, archive.Moment{Place: place}
	if err := apply.Run(t.Context()); err != nil {
		t.Fatalf("restore until %s: %v", head, err)
	}
	return db
}
