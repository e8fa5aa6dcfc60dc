package postgres

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/ddl"
)

// Phase says when a statement of the post-data can be run: after those of the
// phases before it.
type Phase int

// The phases, in order.
const (
	// PhaseIndexes: primary keys, unique and exclusion constraints, indexes. They
	// can be made beside each other.
	PhaseIndexes Phase = iota
	// PhaseAttach: what is said of indexes, partitions of them, statistics,
	// replica identities. In order, one after the other, as all that follows but
	// for the foreign keys.
	PhaseAttach
	// PhaseForeignKeys can be made beside each other.
	PhaseForeignKeys
	// PhaseRest: triggers, rules, policies, comments and whatever else there is.
	PhaseRest
	// PhaseRights: GRANT, REVOKE, ALTER DEFAULT PRIVILEGES. ReturnRights comes before.
	PhaseRights
)

// Step is one statement of the post-data.
type Step struct {
	Number int // its place in the text, from 0
	Phase  Phase
	// Table is what it is made on and References what a foreign key points to, as
	// the statement writes them; empty where that is of no account.
	Table, References string
	// Alone: it lets nobody else near the table.
	Alone bool
	Statement
}

// A name as pg_dump writes it, with its schema.
const dumpedName = `((?:[\pL_][\pL\pN_$]*|"(?:[^"]|"")+")(?:\.(?:[\pL_][\pL\pN_$]*|"(?:[^"]|"")+"))?)`

var (
	addConstraint = regexp.MustCompile(`^ALTER TABLE (?:ONLY )?` + dumpedName + `\s+ADD CONSTRAINT (?:[\pL_][\pL\pN_$]*|"(?:[^"]|"")+") (PRIMARY KEY|UNIQUE|EXCLUDE|FOREIGN KEY)`)
	references    = regexp.MustCompile(`\) REFERENCES ` + dumpedName + `\(`)
	createIndex   = regexp.MustCompile(`^CREATE (?:UNIQUE )?INDEX (?:[\pL_][\pL\pN_$]*|"(?:[^"]|"")+") ON (?:ONLY )?` + dumpedName + ` `)
	attach        = regexp.MustCompile(`^(?:ALTER INDEX |CREATE STATISTICS |ALTER STATISTICS |ALTER TABLE (?:ONLY )?` + dumpedName + `\s+(?:CLUSTER ON|REPLICA IDENTITY|ALTER COLUMN) )`)
)

// Steps takes a post-data text of DumpSchema apart, in its order. It refuses what
// DumpSchema never writes. Numbers do not depend on how it is loaded.
func Steps(text string, how Loading) ([]Step, error) {
	all, err := Statements(text)
	if err != nil {
		return nil, err
	}
	steps := make([]Step, 0, len(all))
	for i, s := range all {
		if s, ok := how.chooseOne(s); ok {
			steps = append(steps, newStep(i, s))
		}
	}
	putOff(steps)
	return steps, nil
}

func newStep(n int, statement Statement) Step {
	s := Step{Number: n, Phase: PhaseRest, Statement: statement}
	if m := addConstraint.FindStringSubmatch(s.Text); m != nil {
		s.Phase, s.Table, s.Alone = PhaseIndexes, m[1], true
		if m[2] == "FOREIGN KEY" {
			s.Phase = PhaseForeignKeys
			if r := references.FindStringSubmatch(s.Text); r != nil {
				s.References = r[1]
			}
		}
		return s
	}
	if m := createIndex.FindStringSubmatch(s.Text); m != nil {
		s.Phase, s.Table = PhaseIndexes, m[1]
		return s
	}
	switch {
	case ddl.IsRight(s.Text):
		s.Phase = PhaseRights
	case attach.MatchString(s.Text):
		s.Phase = PhaseAttach
	}
	return s
}

// RunStep executes the statement of a step in the caller's transaction, as its
// role.
func RunStep(ctx context.Context, tx pgx.Tx, s Step) error {
	return execute(ctx, tx, []Statement{s.Statement})
}

// Relations finds relations by names as SQL writes them: for each the size of its
// rows, and the table that it is a partition of, or itself. Names that are not
// there are not in the answer.
func Relations(ctx context.Context, q Querier, names []string) (map[string]Relation, error) {
	const query = `SELECT w.name, coalesce(pg_catalog.pg_table_size(c.oid), 0), n.nspname::text, r.relname::text
		FROM unnest($1::text[]) w (name) JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(w.name)
			JOIN pg_catalog.pg_class r ON r.oid = coalesce(pg_catalog.pg_partition_root(c.oid), c.oid) JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace`
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	rows, err := q.Query(ctx, query, names)
	if err != nil {
		return nil, fmt.Errorf("look up tables: %w", err)
	}
	all := map[string]Relation{}
	var name string
	var r Relation
	_, err = pgx.ForEachRow(rows, []any{&name, &r.Size, &r.Root.Schema, &r.Root.Name}, func() error {
		all[name] = r
		return nil
	})
	return all, wrapUnlessNil("look up tables", err)
}

// Relation is a table, or a partition of one.
type Relation struct {
	Size int64
	Root action.Name
}

var (
	createExtension   = regexp.MustCompile(`(?i)^CREATE EXTENSION (?:IF NOT EXISTS )?([\pL_][\pL\pN_$]*|"(?:[^"]|"")+")`)
	enableRowSecurity = regexp.MustCompile(`(?s)^ALTER TABLE .* ENABLE ROW LEVEL SECURITY$`)
	forceRowSecurity  = regexp.MustCompile(`(?s)^ALTER TABLE .* FORCE ROW LEVEL SECURITY$`)
)

// ExtensionsOf lists the extensions that the statements of a pre-data make.
func ExtensionsOf(preData string) (names []string, err error) {
	all, err := Statements(preData)
	for _, s := range all {
		if m := createExtension.FindStringSubmatch(s.Text); m != nil {
			names = append(names, unquoteIdent(m[1]))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// RowSecurity tells whether the statements of a schema put row level security on a
// table, and whether also for the owner of one.
func RowSecurity(preData, postData string) (policed, forced bool, err error) {
	for _, text := range []string{preData, postData} {
		statements, err := ddl.Split(text)
		if err != nil {
			return false, false, fmt.Errorf("take the schema apart: %w", err)
		}
		for _, s := range statements {
			policed = policed || enableRowSecurity.MatchString(s)
			forced = forced || forceRowSecurity.MatchString(s)
		}
	}
	return policed, forced && policed, nil
}

func unquoteIdent(s string) string {
	if len(s) < 2 || s[0] != '"' {
		return s
	}
	return strings.ReplaceAll(s[1:len(s)-1], `""`, `"`)
}
