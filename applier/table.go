package applier

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
)

// table is what the applier knows of a table of the target.
type table struct {
	name  action.Name
	types map[string]string // column → type, as a cast writes it
	// columns in the order of the table, generated ones left out.
	columns []string
	// key finds one row: the primary key, or the index of the replica
	// identity. Empty where rows can only be found whole.
	key []string
	// always are the columns GENERATED ALWAYS AS IDENTITY: UPDATE may not set them.
	always map[string]bool
	// ordered: triggers of the table fire here (ENABLE ALWAYS or REPLICA), so
	// the order of changes can be seen.
	ordered bool
}

// tables reads and remembers tables. A change of the target's schema by
// someone else is noticed when a statement fails; the cache goes with the
// connection.
type tables struct {
	conn  *pgx.Conn
	known map[action.Name]*table
}

const tableQuery = `SELECT c.oid,
	EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled IN ('A', 'R'))
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')`

const columnQuery = `SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attidentity = 'a'
	FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum`

const keyQuery = `SELECT a.attname FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, n), pg_attribute a
	WHERE i.indexrelid = (SELECT indexrelid FROM pg_index WHERE indrelid = $1 AND (indisprimary OR indisreplident) AND indisvalid ORDER BY indisprimary DESC LIMIT 1)
		AND k.n <= i.indnkeyatts AND a.attrelid = i.indrelid AND a.attnum = k.attnum ORDER BY k.n`

func (ts *tables) get(ctx context.Context, name action.Name) (*table, error) {
	if t := ts.known[name]; t != nil {
		return t, nil
	}
	t, err := ts.read(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("look up table %s: %w", name, err)
	}
	if ts.known == nil {
		ts.known = map[action.Name]*table{}
	}
	ts.known[name] = t
	return t, nil
}

func (ts *tables) read(ctx context.Context, name action.Name) (*table, error) {
	t := &table{name: name, types: map[string]string{}, always: map[string]bool{}}
	var oid uint32
	if err := ts.conn.QueryRow(ctx, tableQuery, name.Schema, name.Name).Scan(&oid, &t.ordered); err != nil {
		return nil, err
	}
	rows, err := ts.conn.Query(ctx, columnQuery, oid)
	if err != nil {
		return nil, err
	}
	var column, typ string
	var always bool
	_, err = pgx.ForEachRow(rows, []any{&column, &typ, &always}, func() error {
		t.columns = append(t.columns, column)
		t.types[column] = typ
		t.always[column] = always
		return nil
	})
	if err != nil {
		return nil, err
	}
	if rows, err = ts.conn.Query(ctx, keyQuery, oid); err != nil {
		return nil, err
	}
	t.key, err = pgx.CollectRows(rows, pgx.RowTo[string])
	return t, err
}

// check refuses a shape that names a column the target does not have.
func (t *table) check(s *action.Shape) error {
	for _, c := range slices.Concat(s.Key, s.Set) {
		if t.types[c] == "" {
			return fmt.Errorf("apply %s: the table here has no column %q", s.Action(), c)
		}
	}
	return nil
}

// columnList writes columns for a statement, each with the prefix.
func columnList(prefix string, columns []string) string {
	var b strings.Builder
	for i, c := range columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(prefix)
		b.WriteString(action.QuoteIdent(c))
	}
	return b.String()
}
