package applier

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/internal/pgtest"
	"github.com/pgbridge/pgbridge/postgres"
)

// ground is a database in which rigs are put up one after the other: a schema
// is made faster than a database.
type ground struct{ db *pgtest.DB }

func newGround(t *testing.T) ground {
	t.Helper()
	g := ground{pgtest.New(t)}
	if err := postgres.Install(t.Context(), (&rig{db: g.db}).connect(t)); err != nil {
		t.Fatal(err)
	}
	return g
}

// rig is a follower of one writer, with tables in schema work, and records that
// are made by hand for it.
type rig struct {
	db     *pgtest.DB
	writer action.Writer
	last   archive.Header // of the latest record
	digest action.Digest
	lsn    action.LSN
}

// rig begins with tables made by a script, and with nothing applied.
func (g ground) rig(t *testing.T, tables string) *rig {
	t.Helper()
	r := &rig{db: g.db, writer: action.Writer{1}, digest: action.Digest{1}, last: archive.Header{Type: archive.TypeActions, Writer: action.Writer{1}, Epoch: 1, Seq: 1}}
	r.exec(t, "TRUNCATE pgbridge.progress, pgbridge.quarantine, pgbridge.action, pgbridge.fingerprint; DROP SCHEMA IF EXISTS work CASCADE; CREATE SCHEMA work; "+tables)
	err := postgres.SaveProgress(t.Context(), r.connect(t), postgres.Progress{Writer: r.writer, Epoch: 1, Seq: 1, Digest: r.digest, Complete: true})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newRig(t *testing.T, tables string) *rig {
	t.Helper()
	return newGround(t).rig(t, tables)
}

// exec runs a script in schema work.
func (r *rig) exec(t *testing.T, script string) {
	t.Helper()
	r.db.Exec(t, "SET search_path = work; "+script)
}

func (r *rig) connect(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := postgres.Connect(t.Context(), r.db.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// target begins where the database is: what a start of the process does.
func (r *rig) target(t *testing.T) *target {
	t.Helper()
	conn := r.connect(t)
	if _, err := conn.Exec(t.Context(), "SET session_replication_role = replica; SET synchronous_commit = off"); err != nil {
		t.Fatal(err)
	}
	return r.targetOn(t, conn)
}

// targetOn begins where the database is, in a session that is open to apply.
func (r *rig) targetOn(t *testing.T, conn *pgx.Conn) *target {
	t.Helper()
	var published []action.Name
	for _, row := range r.db.Query(t, "SELECT tablename FROM pg_tables WHERE schemaname = 'work'") {
		published = append(published, work(row[0]))
	}
	to := newTarget(conn, r.progress(t), published)
	to.owner = r.writer
	var err error
	if to.decided, err = loadDecisions(t.Context(), conn, r.writer); err != nil {
		t.Fatal(err)
	}
	return to
}

func (r *rig) progress(t *testing.T) postgres.Progress {
	t.Helper()
	p, found, err := postgres.LoadProgress(t.Context(), r.connect(t), r.writer)
	if err != nil || !found {
		t.Fatalf("progress: found %v, %v", found, err)
	}
	return p
}

// deed writes one action of a transaction.
type deed func(*action.Body)

// values are texts; a nil is NULL.
func values(all []any) [][]byte {
	row := make([][]byte, len(all))
	for i, v := range all {
		switch v := v.(type) {
		case string:
			row[i] = []byte(v)
		case int:
			row[i] = []byte(strconv.Itoa(v))
		}
	}
	return row
}

func work(table string) action.Name { return action.Name{Schema: "work", Name: table} }

func insert(table string, columns []string, row ...any) deed {
	s := action.NewShape(action.Insert, work(table), nil, columns)
	return func(b *action.Body) { b.Row(s, values(row)) }
}

func update(table string, key, set []string, row ...any) deed {
	s := action.NewShape(action.Update, work(table), key, set)
	return func(b *action.Body) { b.Row(s, values(row)) }
}

func remove(table string, key []string, row ...any) deed {
	s := action.NewShape(action.Delete, work(table), key, nil)
	return func(b *action.Body) { b.Row(s, values(row)) }
}

func truncate(table string) deed {
	return func(b *action.Body) { b.Truncate(action.NewTruncate(work(table), false, false)) }
}

func restart(table string) deed {
	return func(b *action.Body) { b.Truncate(action.NewTruncate(work(table), true, false)) }
}

// floors sets sequences: names and values in turn.
func floors(pairs ...any) deed {
	s := action.NewSequences()
	return func(b *action.Body) {
		for i := 0; i < len(pairs); i += 2 {
			b.Row(s, values(pairs[i:i+2]))
		}
	}
}

// statement is a statement in schema work.
func statement(text string) deed {
	return statementUnder(text, `{"search_path":"work, public"}`)
}

func statementUnder(statement, settings string) deed {
	return func(b *action.Body) { b.Row(action.NewSchema(), values([]any{statement, settings})) }
}

func clearOut(table string) deed {
	return func(b *action.Body) { b.Truncate(action.NewClear(work(table))) }
}

// call calls a function of schema work; effect is what it did at the origin.
func call(function string, params []string, row []any, effect ...deed) deed {
	s := action.NewCall(work(function), params)
	return func(b *action.Body) {
		b.Call(s, values(row))
		for _, d := range effect {
			d(b)
		}
		b.EndCall()
	}
}

// mapped names a row after a function; params is as long as the row.
func mapped(function string, params []string, of *action.Shape, row ...any) deed {
	s := action.NewMapped(of, work(function), params)
	return func(b *action.Body) { b.Row(s, values(row)) }
}

// define makes a function an action; types are those of its parameters.
func define(function, replay string, params, types []string) deed {
	d := action.Definition{Action: work(function), Function: "work." + function + "(" + strings.Join(types, ",") + ")", Replay: action.Replay(replay), Rules: []action.Rule{}}
	for i := range params {
		d.Params = append(d.Params, action.Param{Name: params[i], Type: types[i]})
	}
	text, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	return func(b *action.Body) { b.Row(action.NewDefine(), values([]any{work(function).String(), string(text)})) }
}

func drop(function string) deed {
	return func(b *action.Body) { b.Row(action.NewDefine(), values([]any{work(function).String(), nil})) }
}

type tx struct {
	deeds []deed
	part  int  // 2 and up: the transaction goes on here
	more  bool // it goes on in the next record
	copy  bool // initial rows
}

func does(deeds ...deed) tx { return tx{deeds: deeds} }

func (x tx) copied() tx         { x.copy = true; return x }
func (x tx) goesOn() tx         { x.more = true; return x }
func (x tx) continues(n int) tx { x.part = n; return x }

// record is the next one of the chain.
func (r *rig) record(txs ...tx) opened {
	var b action.Body
	for _, x := range txs {
		if x.part < 2 {
			r.lsn += 16
		}
		b.Begin(action.Tx{LSN: r.lsn, At: int64(r.lsn), Part: x.part, Copy: x.copy, Clock: action.Clock{Micros: int64(r.lsn)}})
		for _, d := range x.deeds {
			d(&b)
		}
		if x.more {
			b.EndPart()
			continue
		}
		b.End()
	}
	h := r.last
	h.Seq, h.Prev, h.Txs, h.To = h.Seq+1, r.digest, b.Txs(), r.lsn+8
	body := append([]byte(nil), b.Bytes()...)
	r.last, r.digest = h, sha256.Sum256(append([]byte{byte(h.Seq)}, body...))
	r.last.Schema = schemaAfter(h.Schema, body, h.Txs)
	return opened{Record: archive.Record{Header: h, Digest: r.digest, Bytes: []byte("not looked at")}, body: body}
}

// rows are those of a query, each in brackets.
func (r *rig) rows(t *testing.T, query string) string {
	t.Helper()
	return r.db.Value(t, "SELECT coalesce(string_agg(q::text, ' '), '') FROM ("+query+") q")
}
