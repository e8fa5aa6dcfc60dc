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
	name action.Name
	// target is the table in a statement: without the tables that inherit from
	// it, which the record names themselves; with its partitions, which it does not.
	target string
	// parts are target, or those of its partitions that are here where others are
	// foreign: what is done to all of its rows is done to these. Elsewhere are the
	// rows of a server that is not this one's.
	parts []string
	types map[string]column
	// columns in the order of the table, generated ones left out.
	columns []string
	// position of each of columns.
	position map[string]int
	// key finds one row: the columns of the replica identity's index, or of the
	// primary key. Empty where rows can only be found whole.
	key []string
	// equal are the operators by which the index of key compares, one per column.
	equal []string
	owner string
	// forced: row level security holds for the owner, too.
	forced bool
	// code is code of users that runs when rows are written.
	code []userCode
	// ordered: triggers of the table, or of a partition, fire here (ENABLE
	// ALWAYS or REPLICA), so the order of changes can be seen.
	ordered bool
}

// column is how a column is written.
type column struct {
	typ string // as a cast writes it
	// old is typ, or what that is a domain of: a row that is there need not fulfil
	// the constraints of today (NOT VALID).
	old string
	// cast: some function casts text to the type, and need not read what the
	// type writes, as that of regclass does not read numbers.
	cast bool
	// always: it is GENERATED ALWAYS AS IDENTITY, and UPDATE may not set it.
	always bool
}

// read is the expression for the value that the type writes as text: always by
// the type's own input, which a cast of an array's text cannot avoid.
func (c column) read(text string) string { return c.as(c.typ, text) }

// readOld is read for a value of a row that is to be found.
func (c column) readOld(text string) string { return c.as(c.old, text) }

func (c column) as(typ, text string) string {
	if c.cast {
		return "(ARRAY[" + text + "]::text::" + typ + "[])[1]"
	}
	return text + "::" + typ
}

// tables reads and remembers tables. A change of the target's schema by
// someone else is noticed when a statement fails; the cache goes with the
// connection.
type tables struct {
	conn    *pgx.Conn
	runners *runners
	known   map[action.Name]*table
}

const tableQuery = `SELECT c.oid, c.relkind = 'p',
	EXISTS (SELECT FROM pg_trigger t WHERE (t.tgrelid = c.oid OR t.tgrelid IN (SELECT relid FROM pg_partition_tree(c.oid)))
		AND NOT t.tgisinternal AND t.tgenabled IN ('A', 'R'))
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')`

const ownerQuery = "SELECT pg_catalog.pg_get_userbyid(relowner)::text, relrowsecurity AND relforcerowsecurity FROM pg_catalog.pg_class WHERE oid = $1"

const partsQuery = `WITH tree AS (SELECT c.oid, c.relkind, format('ONLY %I.%I', n.nspname, c.relname) AS name
		FROM pg_partition_tree($1) p JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace)
	(SELECT name FROM tree WHERE relkind = 'r' AND EXISTS (SELECT FROM tree WHERE relkind = 'f') ORDER BY oid)
	UNION ALL SELECT $2 WHERE NOT EXISTS (SELECT FROM tree WHERE relkind = 'f')`

const columnQuery = `SELECT a.attname, format_type(a.atttypid, a.atttypmod), base.name, a.attidentity = 'a', base.cast
	FROM pg_attribute a, LATERAL (
		WITH RECURSIVE base (oid, typmod, depth) AS (
			SELECT a.atttypid, a.atttypmod, 0
			UNION ALL SELECT t.typbasetype, t.typtypmod, b.depth + 1 FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype = 'd')
		SELECT (SELECT format_type(oid, typmod) FROM base ORDER BY depth DESC LIMIT 1),
			EXISTS (SELECT FROM base b JOIN pg_cast x ON x.casttarget = b.oid WHERE x.castsource = 'text'::regtype AND x.castmethod = 'f')
	) base (name, "cast")
	WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum`

// keyQuery leaves out a deferrable key: with session_replication_role = replica
// nothing keeps two rows from having it for a while; and one with a generated
// column, which no record has. The operator is the one that the index knows as
// equality; types of extensions have their own.
const keyQuery = `SELECT a.attname, coalesce((
		SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname) FROM pg_amop m JOIN pg_operator o ON o.oid = m.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace
		WHERE m.amopfamily = c.opcfamily AND m.amopmethod = (SELECT oid FROM pg_am WHERE amname = 'btree') AND m.amopstrategy = 3
			AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype), '=')
	FROM pg_index i, unnest(i.indkey::int2[], i.indclass::oid[]) WITH ORDINALITY k (attnum, class, n), pg_attribute a, pg_opclass c
	WHERE i.indexrelid = (SELECT x.indexrelid FROM pg_index x WHERE x.indrelid = $1 AND (x.indisprimary OR x.indisreplident) AND x.indisvalid AND x.indimmediate
				AND NOT EXISTS (SELECT FROM pg_attribute g WHERE g.attrelid = x.indrelid AND g.attnum = ANY ((x.indkey::int2[])[:x.indnkeyatts - 1]) AND g.attgenerated <> '')
			ORDER BY x.indisreplident DESC LIMIT 1)
		AND k.n <= i.indnkeyatts AND a.attrelid = i.indrelid AND a.attnum = k.attnum AND c.oid = k.class ORDER BY k.n`

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
	t := &table{name: name, target: name.SQL(), types: map[string]column{}, position: map[string]int{}}
	var oid uint32
	var partitioned bool
	if err := ts.conn.QueryRow(ctx, tableQuery, name.Schema, name.Name).Scan(&oid, &partitioned, &t.ordered); err != nil {
		return nil, err
	}
	if !partitioned {
		t.target = "ONLY " + t.target
	}
	if err := ts.conn.QueryRow(ctx, ownerQuery, oid).Scan(&t.owner, &t.forced); err != nil {
		return nil, err
	}
	if err := ts.readCode(ctx, t, oid); err != nil {
		return nil, err
	}
	rows, err := ts.conn.Query(ctx, partsQuery, oid, t.target)
	if err != nil {
		return nil, err
	}
	if t.parts, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return nil, err
	}
	if rows, err = ts.conn.Query(ctx, columnQuery, oid); err != nil {
		return nil, err
	}
	var named string
	var c column
	_, err = pgx.ForEachRow(rows, []any{&named, &c.typ, &c.old, &c.always, &c.cast}, func() error {
		t.position[named] = len(t.columns)
		t.columns = append(t.columns, named)
		t.types[named] = c
		return nil
	})
	if err != nil {
		return nil, err
	}
	if rows, err = ts.conn.Query(ctx, keyQuery, oid); err != nil {
		return nil, err
	}
	var equal string
	_, err = pgx.ForEachRow(rows, []any{&named, &equal}, func() error {
		t.key, t.equal = append(t.key, named), append(t.equal, equal)
		return nil
	})
	return t, err
}

// check refuses a shape that names a column the target does not have.
func (t *table) check(s *action.Shape) error {
	for _, c := range slices.Concat(s.Key, s.Set) {
		if _, ok := t.types[c]; !ok {
			return fmt.Errorf("apply %s: the table here has no column %q", s.Action(), c)
		}
	}
	return nil
}

// textList writes the texts of columns, as their types write them, each after a comma.
func textList(prefix string, columns []string) string {
	var b strings.Builder
	for _, c := range columns {
		c = prefix + action.QuoteIdent(c)
		b.WriteString(", CASE WHEN num_nulls(" + c + ") = 0 THEN concat(" + c + ") END")
	}
	return b.String()
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
