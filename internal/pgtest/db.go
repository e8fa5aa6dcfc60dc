package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// DB is a database of one test. Its name needs quotes, in SQL and in a URL, so
// that a test sees where they were forgotten. Each method uses a connection of
// its own, for the superuser, so DB may be used concurrently.
type DB struct {
	Name    string
	Cluster *Cluster
}

// Database makes an empty database with a name of its own. When the test ends
// it is dropped, with its replication slots, subscriptions and prepared
// transactions, and pgbridge's replication origins. What else belongs to the
// whole server (roles, other origins) is the test's to drop.
func (c *Cluster) Database(t testing.TB) *DB {
	t.Helper()
	return c.database(t, "")
}

// DatabaseIn is Database with another encoding than UTF8. Sessions speak UTF8 to it.
func (c *Cluster) DatabaseIn(t testing.TB, encoding string) *DB {
	t.Helper()
	db := c.database(t, " LOCALE 'C' ENCODING "+encoding)
	c.exec(t, "postgres", "ALTER DATABASE "+db.quoted()+" SET client_encoding = 'UTF8'")
	return db
}

func (c *Cluster) database(t testing.TB, options string) *DB {
	t.Helper()
	db := &DB{Name: "Test-db " + rand.Text()[:10], Cluster: c}
	c.exec(t, "postgres", "CREATE DATABASE "+db.quoted()+" TEMPLATE template0"+options)
	t.Cleanup(func() {
		if !c.running {
			return
		}
		if err := db.drop(); err != nil {
			t.Errorf("drop database %q: %v", db.Name, err)
		}
	})
	return db
}

func (db *DB) quoted() string { return pgx.Identifier{db.Name}.Sanitize() }

// URL returns where the database is, for the superuser.
func (db *DB) URL() string { return db.URLAs("postgres") }

// URLAs returns where the database is, for a role; no role needs a password.
func (db *DB) URLAs(role string) string { return db.Cluster.url(role, db.Name) }

// Connect opens a connection that is closed when the test ends.
func (db *DB) Connect(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), db.URL())
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// Exec runs one statement with parameters or, without any, a whole script,
// which is one transaction unless it says otherwise.
func (db *DB) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	db.Cluster.exec(t, db.Name, sql, args...)
}

// ExecErr is Exec for a test that looks at the error.
func (db *DB) ExecErr(sql string, args ...any) error {
	return db.Cluster.with(db.Name, func(ctx context.Context, conn *pgx.Conn) error {
		return execute(ctx, conn, sql, args)
	})
}

// Query returns the rows of one statement as the server's own text; a NULL is
// the word NULL.
func (db *DB) Query(t testing.TB, sql string, args ...any) [][]string {
	t.Helper()
	rows, err := db.query(sql, args)
	if err != nil {
		t.Fatalf("query %s: %v", brief(sql), err)
	}
	return rows
}

// Value returns the first column of the only row of one statement.
func (db *DB) Value(t testing.TB, sql string, args ...any) string {
	t.Helper()
	rows := db.Query(t, sql, args...)
	if len(rows) != 1 {
		t.Fatalf("query %s: got %d rows, want 1", brief(sql), len(rows))
	}
	return rows[0][0]
}

// Wait waits, for a minute, until Value is want. Errors of the query count as
// not yet: the server may be down, the table may not be there.
func (db *DB) Wait(t testing.TB, want, sql string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := Poll(ctx, func() error {
		rows, err := db.query(sql, args)
		if err == nil && (len(rows) != 1 || rows[0][0] != want) {
			err = fmt.Errorf("got %v", rows)
		}
		return err
	})
	if err != nil {
		t.Fatalf("wait for %s: %v, want %q", brief(sql), err, want)
	}
}

func (db *DB) query(sql string, args []any) ([][]string, error) {
	var all [][]string
	err := db.Cluster.with(db.Name, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, append([]any{pgx.QueryResultFormats{pgx.TextFormatCode}}, args...)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var row []string
			for _, value := range rows.RawValues() {
				if value == nil {
					value = []byte("NULL")
				}
				row = append(row, string(value))
			}
			all = append(all, row)
		}
		return rows.Err()
	})
	return all, err
}

func (c *Cluster) exec(t testing.TB, db, sql string, args ...any) {
	t.Helper()
	err := c.with(db, func(ctx context.Context, conn *pgx.Conn) error { return execute(ctx, conn, sql, args) })
	if err != nil {
		t.Fatalf("execute %s: %v", brief(sql), err)
	}
}

func execute(ctx context.Context, conn *pgx.Conn, sql string, args []any) error {
	if len(args) == 0 {
		return conn.PgConn().Exec(ctx, sql).Close()
	}
	_, err := conn.Exec(ctx, sql, args...)
	return err
}

// with lends a superuser's connection.
func (c *Cluster) with(db string, do func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.url("postgres", db))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return do(ctx, conn)
}

func (db *DB) drop() error {
	var oid uint32
	err := db.Cluster.with(db.Name, func(ctx context.Context, conn *pgx.Conn) error {
		return errors.Join(
			each(ctx, conn, `SELECT format('ROLLBACK PREPARED %L', gid) FROM pg_catalog.pg_prepared_xacts WHERE database = current_database()`),
			each(ctx, conn, `SELECT format(s, subname) FROM pg_catalog.pg_subscription,
				unnest(ARRAY['ALTER SUBSCRIPTION %I DISABLE', 'ALTER SUBSCRIPTION %I SET (slot_name = NONE)', 'DROP SUBSCRIPTION %I']) s
				WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) ORDER BY subname`),
			dropSlots(ctx, conn),
			conn.QueryRow(ctx, "SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()").Scan(&oid))
	})
	return errors.Join(err, db.Cluster.with("postgres", func(ctx context.Context, conn *pgx.Conn) error {
		return errors.Join(
			dropDatabase(ctx, conn, db.quoted()),
			// A server keeps the state of few origins, and those of pgbridge have the database's number in their name.
			each(ctx, conn, fmt.Sprintf(`SELECT format('SELECT pg_catalog.pg_replication_origin_drop(%%L)', roname)
				FROM pg_catalog.pg_replication_origin WHERE roname LIKE 'pgbridge\_%d\_%%'`, oid)))
	}))
}

// dropDatabase is more patient than the server, which gives the sessions that it
// ends five seconds.
func dropDatabase(ctx context.Context, conn *pgx.Conn, name string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_ = Poll(ctx, func() error { // err says it
		err = execute(ctx, conn, "DROP DATABASE "+name+" WITH (FORCE)", nil)
		if server := (*pgconn.PgError)(nil); errors.As(err, &server) && server.Code == "55006" { // in use
			return err
		}
		return nil
	})
	return err
}

// each runs the statements that a query returns, one after the other.
func each(ctx context.Context, conn *pgx.Conn, query string) error {
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return err
	}
	statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, sql := range statements {
		if err := execute(ctx, conn, sql, nil); err != nil {
			return fmt.Errorf("%s: %w", brief(sql), err)
		}
	}
	return nil
}

// dropSlots drops the slots of the database. Before that it ends whoever may read
// one, and waits until they are gone: a slot is in use until then, or goes with
// its reader when it is temporary.
func dropSlots(ctx context.Context, conn *pgx.Conn) error {
	const endReaders = `SELECT pg_catalog.pg_terminate_backend(pid, $1) FROM pg_catalog.pg_stat_activity
		WHERE datname = current_database() AND backend_type IN ('client backend', 'walsender') AND pid <> pg_catalog.pg_backend_pid()
		AND EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE database = current_database())`
	if _, err := conn.Exec(ctx, endReaders, patience.Milliseconds()); err != nil {
		return fmt.Errorf("end readers of slots: %w", err)
	}
	return each(ctx, conn, `SELECT format('SELECT pg_catalog.pg_drop_replication_slot(%L)', slot_name)
		FROM pg_catalog.pg_replication_slots WHERE database = current_database()`)
}

// brief shortens SQL for a message to its first line.
func brief(sql string) string {
	line, rest, _ := strings.Cut(strings.TrimSpace(sql), "\n")
	if len(line) > 100 || rest != "" {
		line = line[:min(len(line), 100)] + "…"
	}
	return line
}
