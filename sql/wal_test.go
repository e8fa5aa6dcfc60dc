package sql

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
	conn   *pgx.Conn
	slot   string
	secret string
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
		'proto_version', '1', 'publication_names', $1::text, 'messages', 'true')`, w.slot)
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
		token  []byte
		tables = map[uint32]string{}
	)
	for _, m := range data {
		switch m[0] {
		case 'B':
			sum := sha256.Sum256(fmt.Appendf(nil, "%s:%d", w.secret, binary.BigEndian.Uint32(m[17:])))
			tx, token = nil, []byte(hex.EncodeToString(sum[:]))
		case 'R':
			parts := bytes.SplitN(m[5:], []byte{0}, 3)
			tables[binary.BigEndian.Uint32(m[1:])] = string(parts[0]) + "." + string(parts[1])
		case 'I', 'U', 'D':
			if table := tables[binary.BigEndian.Uint32(m[1:])]; !strings.HasPrefix(table, "pgbridge.") {
				tx = append(tx, string(m[0])+" "+table)
			}
		case 'M':
			prefix, rest, _ := bytes.Cut(m[10:], []byte{0})
			mark, valid := bytes.CutPrefix(rest[4:], token)
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
