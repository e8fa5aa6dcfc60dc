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
	Text  string
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
// DumpSchema never writes.
func Steps(text string) ([]Step, error) {
	statements, err := ddl.Split(text)
	if err != nil {
		return nil, fmt.Errorf("take the schema apart: %w", err)
	}
	steps := make([]Step, len(statements))
	for i, s := range statements {
		if err := belongs(s); err != nil {
			return nil, err
		}
		steps[i] = newStep(i, s)
	}
	return steps, nil
}

func newStep(n int, text string) Step {
	s := Step{Number: n, Phase: PhaseRest, Text: text}
	if m := addConstraint.FindStringSubmatch(text); m != nil {
		s.Phase, s.Table, s.Alone = PhaseIndexes, m[1], true
		if m[2] == "FOREIGN KEY" {
			s.Phase = PhaseForeignKeys
			if r := references.FindStringSubmatch(text); r != nil {
				s.References = r[1]
			}
		}
		return s
	}
	if m := createIndex.FindStringSubmatch(text); m != nil {
		s.Phase, s.Table = PhaseIndexes, m[1]
		return s
	}
	if attach.MatchString(text) {
		s.Phase = PhaseAttach
	}
	return s
}

// RunStep executes the statement of a step in the caller's transaction, as
// LoadSchema does.
func RunStep(ctx context.Context, tx pgx.Tx, s Step) error { return LoadSchema(ctx, tx, s.Text+";\n") }

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
	createExtension = regexp.MustCompile(`(?i)^CREATE EXTENSION (?:IF NOT EXISTS )?([\pL_][\pL\pN_$]*|"(?:[^"]|"")+")`)
	enableRowSecurity = regexp.MustCompile(`(?s)^ALTER TABLE .* ENABLE ROW LEVEL SECURITY$`)
	forceRowSecurity  = regexp.MustCompile(`(?s)^ALTER TABLE .* FORCE ROW LEVEL SECURITY$`)
	policyRoles     = regexp.MustCompile(`(?s)^CREATE POLICY .*? TO (.+?)(?: USING \(| WITH CHECK \(|$)`)
)

// Needs lists the extensions that the statements of a schema make, and the roles
// that its policies name.
func Needs(preData, postData string) (extensions, roles []string, err error) {
	for _, text := range []string{preData, postData} {
		statements, err := ddl.Split(text)
		if err != nil {
			return nil, nil, fmt.Errorf("take the schema apart: %w", err)
		}
		for _, s := range statements {
			if m := createExtension.FindStringSubmatch(s); m != nil {
				extensions = append(extensions, unquoteIdent(m[1]))
			}
			if m := policyRoles.FindStringSubmatch(s); m != nil {
				for role := range strings.SplitSeq(m[1], ", ") {
					roles = append(roles, unquoteIdent(role))
				}
			}
		}
	}
	slices.Sort(extensions)
	slices.Sort(roles)
	return slices.Compact(extensions), slices.Compact(roles), nil
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
