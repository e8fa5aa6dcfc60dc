package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/pgbridge/pgbridge/action"
)

// BeginSnapshot begins a read-only transaction that sees what an exported
// snapshot sees, as the one that a new slot exports: exactly what was committed
// before the slot's first transaction. The exporter must still be open; once this
// returns it need not be. The caller ends the transaction.
func BeginSnapshot(ctx context.Context, conn *pgx.Conn, snapshot string) (pgx.Tx, error) {
	if strings.Trim(snapshot, "0123456789ABCDEFabcdef-") != "" {
		return nil, fmt.Errorf("import snapshot: %q is not the name of one", snapshot)
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("begin reading: %w", err)
	}
	if err := importSnapshot(ctx, tx, snapshot); err != nil {
		_ = tx.Rollback(ctx)
		return nil, err
	}
	return tx, nil
}

func importSnapshot(ctx context.Context, tx pgx.Tx, snapshot string) error {
	if _, err := tx.Exec(ctx, "SET TRANSACTION SNAPSHOT '"+snapshot+"'"); err != nil {
		return fmt.Errorf("import snapshot %s: %w", snapshot, err)
	}
	return restrictReading(ctx, tx)
}

// copyQueries read the rows of t as the stream would send them: without generated
// columns, a partitioned table by its partitions, but those whose rows are not in the WAL;
// another without the tables that inherit from it.
//
// They name tables, and no query: where the server plans a query, it evaluates constant
// parts of the expressions of indexes and partition keys, which are code of users, with
// the rights of the session.
func copyQueries(t Table) (queries []string) {
	columns := t.Stored()
	for i, c := range columns {
		columns[i] = action.QuoteIdent(c)
	}
	list := strings.Join(columns, ", ")
	copyTable := func(name action.Name) string {
		if list == "" {
			return "COPY " + name.SQL() + " TO STDOUT"
		}
		return "COPY " + name.SQL() + " (" + list + ") TO STDOUT"
	}
	if !t.Partitioned {
		return []string{copyTable(t.Name)}
	}
	for _, leaf := range t.Leaves {
		if leaf.InWAL {
			queries = append(queries, copyTable(leaf.Name))
		}
	}
	return queries
}

// CopyRows writes the rows of t to w in COPY's text format, for a CopyReader over
// t.Stored(), in no particular order, and returns how many. If w fails the
// connection is closed. It is ErrRenamed if a name is gone.
func CopyRows(ctx context.Context, tx pgx.Tx, t Table, w io.Writer) (n int64, err error) {
	for _, query := range copyQueries(t) {
		tag, err := tx.Conn().PgConn().CopyTo(ctx, w, query)
		if err != nil {
			return 0, fmt.Errorf("copy rows of %s: %w", t.Name, orRenamed(err))
		}
		n += tag.RowsAffected()
	}
	return n, nil
}

// Rows yields the rows of t, in no particular order, as the server's text of the
// columns of t.Stored(); nil is NULL. The values are good until the next row. An
// error is the last thing it yields. Breaking off closes the connection.
func Rows(ctx context.Context, tx pgx.Tx, t Table) iter.Seq2[[][]byte, error] {
	return func(yield func([][]byte, error) bool) {
		w := rowWriter{values: make([][]byte, len(t.Stored())), yield: yield}
		_, err := CopyRows(ctx, tx, t, &w)
		if err != nil && !errors.Is(err, errBroken) {
			yield(nil, err)
		}
	}
}

// rowWriter takes a row with each Write: the protocol has one in each message.
type rowWriter struct {
	row    []byte
	values [][]byte
	yield  func([][]byte, error) bool
}

var errBroken = errors.New("the reader broke off")

func (w *rowWriter) Write(p []byte) (int, error) {
	if len(p) == 0 || p[len(p)-1] != '\n' {
		return 0, errors.New("the server did not send a whole row")
	}
	w.row = append(w.row[:0], p[:len(p)-1]...)
	if err := splitCopyRow(w.row, w.values); err != nil {
		return 0, err
	}
	if !w.yield(w.values, nil) {
		return 0, errBroken
	}
	return len(p), nil
}

// PlannedCode tells whether to plan a query on a table may run code of users.
func PlannedCode(ctx context.Context, q Querier, table action.Name) (planned bool, err error) {
	err = q.QueryRow(ctx, "SELECT pgbridge.planned_code($1::text::regclass) IS NOT NULL", table.SQL()).Scan(&planned)
	return planned, wrapUnlessNil("look for code of users in "+table.String(), err)
}
