package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/action"
)

// Sequence is a sequence and where it stands. The next value is Last if it was
// not Called yet, else the one after Last: what setval(name, Last, Called) restores.
type Sequence struct {
	Name     action.Name
	Table    action.Name // that owns it (serial or identity); zero if none does
	Column   string
	Type     string // smallint, integer or bigint
	Start    int64
	Step     int64
	Min, Max int64
	Last     int64
	Called   bool

	oid uint32
}

// sequenceTimeout is how long one waits for a sequence that a transaction has locked, as
// ALTER SEQUENCE and TRUNCATE ... RESTART IDENTITY do.
const sequenceTimeout = "5s"

// Sequences lists the sequences of the database, by name, without those of
// extensions, of the system, of pgbridge and temporary ones. Sequences do not
// obey transactions: under a snapshot, too, the values are those of this moment.
// It needs SELECT on each. It is ErrRenamed if a sequence was renamed meanwhile, and the
// server's lock_not_available if a transaction has one locked.
func Sequences(ctx context.Context, tx pgx.Tx) ([]Sequence, error) {
	all, err := loadSequences(ctx, tx, sequenceTimeout)
	for _, s := range all {
		if s.oid == 0 {
			return nil, fmt.Errorf("read sequence %s: permission denied: GRANT SELECT ON SEQUENCE %s", s.Name, s.Name.SQL())
		}
	}
	return all, err
}

// ReadableSequences is Sequences without those that the role may not read, and waits for
// no lock.
func ReadableSequences(ctx context.Context, tx pgx.Tx) ([]Sequence, error) {
	all, err := loadSequences(ctx, tx, "10ms")
	readable := all[:0]
	for _, s := range all {
		if s.oid != 0 {
			readable = append(readable, s)
		}
	}
	return readable, err
}

// loadSequences lists all sequences. Those that may not be read have no oid.
func loadSequences(ctx context.Context, tx pgx.Tx, timeout string) ([]Sequence, error) {
	if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '"+timeout+"'"); err != nil {
		return nil, fmt.Errorf("list sequences: %w", err)
	}
	if err := restrictReading(ctx, tx); err != nil {
		return nil, err
	}
	all, err := listSequences(ctx, tx)
	if err != nil {
		return nil, fmt.Errorf("list sequences: %w", err)
	}
	if err := readUncalled(ctx, tx, all); err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, "SET LOCAL lock_timeout = 0")
	return all, wrapUnlessNil("list sequences", err)
}

// listSequences reads by oid where each sequence stands, if it was called.
func listSequences(ctx context.Context, q Querier) ([]Sequence, error) {
	const query = `SELECT CASE WHEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT') THEN c.oid ELSE 0::pg_catalog.oid END,
			n.nspname::text, c.relname::text, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax,
			coalesce(tn.nspname::text, ''), coalesce(t.relname::text, ''), coalesce(a.attname::text, ''),
			coalesce(v.value, 0), v.value IS NOT NULL
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid
			LEFT JOIN pg_catalog.pg_depend o ON o.classid = 'pg_catalog.pg_class'::regclass AND o.objid = c.oid AND o.objsubid = 0
				AND o.deptype IN ('a', 'i') AND o.refclassid = 'pg_catalog.pg_class'::regclass AND o.refobjsubid > 0
			LEFT JOIN pg_catalog.pg_class t ON t.oid = o.refobjid LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
			LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = o.refobjsubid
			CROSS JOIN LATERAL (SELECT CASE WHEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT')
				THEN pg_catalog.pg_sequence_last_value(c.oid) END) v (value)
		WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND ` + userSchema + ` AND ` + notOfExtension + `
		ORDER BY n.nspname::text COLLATE "C", c.relname::text COLLATE "C"`
	rows, err := q.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (s Sequence, err error) {
		err = row.Scan(&s.oid, &s.Name.Schema, &s.Name.Name, &s.Type, &s.Start, &s.Step, &s.Min, &s.Max,
			&s.Table.Schema, &s.Table.Name, &s.Column, &s.Last, &s.Called)
		return s, err
	})
}

// readUncalled reads where those stand that were not called: setval can have set them, and
// only the sequence itself says so.
func readUncalled(ctx context.Context, tx pgx.Tx, all []Sequence) error {
	at := map[uint32]*Sequence{}
	var queries []string
	for i := range all {
		if s := &all[i]; !s.Called && s.oid != 0 {
			at[s.oid] = s
			queries = append(queries, "SELECT tableoid, last_value, is_called FROM "+s.Name.SQL())
		}
	}
	if len(queries) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, strings.Join(queries, " UNION ALL "))
	if err != nil {
		return fmt.Errorf("read sequences: %w", noSequence(err))
	}
	var oid uint32
	var last int64
	var called bool
	_, err = pgx.ForEachRow(rows, []any{&oid, &last, &called}, func() error {
		s := at[oid]
		if s == nil {
			return fmt.Errorf("read sequences: %w: try again", ErrRenamed)
		}
		s.Last, s.Called = last, called
		return nil
	})
	return wrapUnlessNil("read sequences", noSequence(err))
}

// noSequence adds ErrRenamed to the server's error that a view, which has no tableoid, has the
// name of a sequence, or nothing has it.
func noSequence(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && (refused.Code == "42703" || refused.Code == "42809") { // undefined_column, wrong_object_type
		return fmt.Errorf("%w: try again: %w", ErrRenamed, err)
	}
	return orRenamed(err)
}
