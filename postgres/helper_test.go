package postgres

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// newDatabase makes an empty database and a superuser's session in it.
func newDatabase(t *testing.T) (*pgtest.DB, *pgx.Conn) {
	t.Helper()
	db := pgtest.New(t)
	return db, connect(t, db.URL())
}

// migrated is newDatabase with the schema pgbridge.
func migrated(t *testing.T) (*pgtest.DB, *pgx.Conn) {
	t.Helper()
	db, conn := newDatabase(t)
	if err := Install(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	return db, conn
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// newRole makes a role with attributes like LOGIN REPLICATION and returns its
// name.
func newRole(t *testing.T, conn *pgx.Conn, attributes string) string {
	t.Helper()
	name := "Role " + rand.Text()[:10]
	mustExec(t, conn, "CREATE ROLE "+action.QuoteIdent(name)+" "+attributes)
	return name
}

func mustExec(t *testing.T, conn Querier, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", strings.TrimSpace(sql), err)
	}
}

func queryText(t *testing.T, conn Querier, sql string, args ...any) (text string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", strings.TrimSpace(sql), err)
	}
	return text
}

func major(t *testing.T, conn Querier) int {
	t.Helper()
	server, err := LoadServer(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	return server.Major()
}
