package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// tape reads what the WAL holds of a database since the tape was made.
type tape struct {
	conn        *pgx.Conn
	slot        string
	secret      string
	publication string   // that of the tape, of all tables, if empty
	calls       []string // the tokens of those that are open
}

func newTape(t *testing.T, conn *pgx.Conn) *tape {
	t.Helper()
	w := &tape{conn: conn, slot: "tape_" + strings.ToLower(rand.Text()[:16])}
	mustExec(t, conn, "CREATE PUBLICATION "+w.slot+" FOR ALL TABLES")
	mustExec(t, conn, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", w.slot)
	w.secret = queryText(t, conn, "SELECT secret FROM pgbridge.secret")
	return w
}

// read returns the transactions since the last read, without those of schema
// pgbridge alone: marks as their letter and payload, or "forged", and rows as the
// operation and the table.
func (w *tape) read(t *testing.T) [][]string {
	t.Helper()
	rows, err := w.conn.Query(t.Context(), `SELECT data FROM pg_logical_slot_get_binary_changes($1::text::name, NULL, NULL,
		'proto_version', '1', 'publication_names', coalesce(nullif($2, ''), $1::text), 'messages', 'true')`, w.slot, w.publication)
	if err != nil {
		t.Fatal(err)
	}
	data, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		t.Fatal(err)
	}
	var (
		all    [][]string
		tx     []string
		xid    uint32
		tables = map[uint32]string{}
	)
	for _, m := range data {
		switch m[0] {
		case 'B':
			tx, w.calls, xid = nil, nil, binary.BigEndian.Uint32(m[17:])
		case 'R':
			parts := bytes.SplitN(m[5:], []byte{0}, 3)
			tables[binary.BigEndian.Uint32(m[1:])] = string(parts[0]) + "." + string(parts[1])
		case 'I', 'U', 'D':
			if table := tables[binary.BigEndian.Uint32(m[1:])]; !strings.HasPrefix(table, "pgbridge.") {
				tx = append(tx, string(m[0])+" "+table)
			}
		case 'M':
			prefix, rest, _ := bytes.Cut(m[10:], []byte{0})
			mark, valid := w.open(rest[4:], xid)
			if m[1] != 1 || string(prefix) != "pgbridge" {
				t.Errorf("message %q with flags %d, want a transactional one of pgbridge", prefix, m[1])
			}
			if !valid {
				mark = []byte("forged")
			} else if len(mark) > 1 {
				mark = slices.Insert(mark, 1, ' ')
			}
			tx = append(tx, string(mark))
		case 'C':
			if len(tx) > 0 {
				all = append(all, tx)
			}
		}
	}
	return all
}

// open cuts off the token of a mark, if it is the right one. A call's has the
// action's name in it, and its end the same.
func (w *tape) open(content []byte, xid uint32) (mark []byte, ok bool) {
	if len(content) <= 2*sha256.Size {
		return nil, false
	}
	token, mark := string(content[:2*sha256.Size]), content[2*sha256.Size:]
	if string(mark) == "e" {
		last := len(w.calls) - 1
		if last < 0 || w.calls[last] != token {
			return mark, false
		}
		w.calls = w.calls[:last]
		return mark, true
	}
	kind := string(mark[:1])
	if kind == "c" {
		name, _, _ := strings.Cut(string(mark), ",")
		kind = strings.Replace(name, "[", "", 1)
	}
	if token != markToken(w.secret, xid, kind) {
		return mark, false
	}
	if mark[0] == 'c' {
		w.calls = append(w.calls, token)
	}
	return mark, true
}

// markToken is what a true mark begins with; kind is its letter and, of a call,
// the name of the action in JSON.
func markToken(secret string, xid uint32, kind string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s:%d:%s", secret, xid, kind))
	return hex.EncodeToString(sum[:])
}

// want compares what was read with transactions.
func (w *tape) want(t *testing.T, want ...[]string) {
	t.Helper()
	got := w.read(t)
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("in the WAL:\ngot  %q\nwant %q", got, want)
	}
}

// hearing connects a session that keeps the warnings it gets.
func hearing(t *testing.T, url string) (*pgx.Conn, func() []string) {
	t.Helper()
	cfg, err := Config(url)
	if err != nil {
		t.Fatal(err)
	}
	var heard []string
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { heard = append(heard, n.Message+" HINT: "+n.Hint) }
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn, func() []string {
		all := heard
		heard = nil
		return all
	}
}
