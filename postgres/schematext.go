package postgres

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/ddl"
)

// Statement is one statement of a schema, and the role that executes it.
type Statement struct {
	// Owner is the owner of what the statement is about. It may be empty: then
	// whoever loads executes it, as everything in the pre-data.
	Owner string
	// Grantor is the role that gave a right, where the owner did not.
	Grantor string
	Text    string
}

// Role is the role that executes the statement; empty for whoever loads.
func (s Statement) Role() string {
	if s.Grantor != "" {
		return s.Grantor
	}
	return s.Owner
}

// A statement of pg_dump's output is kept, or left out for a reason.
//
//   - Session settings: the session that loads has its own, pinned ones. A newer
//     pg_dump also sets what an older server does not know.
//   - Event triggers: only superusers may make them, and they would fire at once.
//   - User mappings: they hold passwords, and a schema is published for ever.
//   - The comments of extensions and of schema public: they may be there already,
//     with another owner, who alone could comment on them.
var leftOut = []string{
	"SET ", "SELECT pg_catalog.set_config(",
	"CREATE EVENT TRIGGER ", "ALTER EVENT TRIGGER ", "COMMENT ON EVENT TRIGGER ",
	"CREATE USER MAPPING ", "ALTER USER MAPPING ",
	"COMMENT ON EXTENSION ", "COMMENT ON SCHEMA public ",
}

// kept are how the other statements of a schema begin. The table access method
// is the one setting that is part of a table's definition.
var kept = []string{"CREATE ", "ALTER ", "COMMENT ON ", "GRANT ", "REVOKE ", accessMethod}

const accessMethod = "SET default_table_access_method = "

func isLeftOut(statement string) bool {
	return hasAnyPrefix(statement, leftOut) && !strings.HasPrefix(statement, accessMethod)
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// pg_dump writes a string for the owner of what follows, and a name for somebody
// who gives a right that the owner gave to him.
var (
	setOwner     = regexp.MustCompile(`^SET SESSION AUTHORIZATION (DEFAULT|'(?:[^']|'')*')$`)
	setGrantor   = regexp.MustCompile(`^SET SESSION AUTHORIZATION ([\pL_][\pL\pN_$]*|"(?:[^"]|"")+")$`)
	resetGrantor = "RESET SESSION AUTHORIZATION"
)

// authorization follows who executes.
type authorization struct{ owner, grantor string }

// sees tells whether a statement says who executes the next ones.
func (a *authorization) sees(statement string) bool {
	switch {
	case statement == resetGrantor:
		a.grantor = ""
	case setOwner.MatchString(statement):
		a.owner, a.grantor = "", ""
		if text, ok := strings.CutPrefix(setOwner.FindStringSubmatch(statement)[1], "'"); ok {
			a.owner = strings.ReplaceAll(strings.TrimSuffix(text, "'"), "''", "'")
		}
	case setGrantor.MatchString(statement):
		a.grantor = unquoteIdent(setGrantor.FindStringSubmatch(statement)[1])
	default:
		return false
	}
	return true
}

// dumped reads the output of pg_dump. Versions, comments and the tokens of
// \restrict are not in what it returns.
func dumped(text string) ([]Statement, error) {
	texts, err := ddl.Split(stripRestrict(text))
	if err != nil {
		return nil, err
	}
	openPublic := isDumpedAcross15(text)
	var all []Statement
	var who authorization
	for _, s := range texts {
		if who.sees(s) || isLeftOut(s) {
			continue
		}
		if !hasAnyPrefix(s, kept) {
			return nil, fmt.Errorf("a statement that this pgbridge does not know: %s", excerpt(s))
		}
		all = append(all, Statement{who.owner, who.grantor, s})
		if openPublic && strings.HasPrefix(s, "ALTER SCHEMA public OWNER TO ") {
			all = append(all, Statement{Text: "REVOKE CREATE ON SCHEMA public FROM PUBLIC"})
		}
	}
	return all, nil
}

var dumpVersions = regexp.MustCompile(`(?m)^-- Dumped (?:from database|by pg_dump) version (\d+)`)

// isDumpedAcross15 tells whether a server before 15 was dumped by a pg_dump of 15 or
// later. That pg_dump takes for granted that PUBLIC may not create anything in schema
// public where the dump is loaded, and so writes no REVOKE. On a server before 15
// PUBLIC may.
func isDumpedAcross15(text string) bool {
	head, _, _ := strings.Cut(text, "\nSET ")
	found := dumpVersions.FindAllStringSubmatch(head, 2)
	return len(found) == 2 && majorOf(found[0][1]) < 15 && majorOf(found[1][1]) >= 15
}

// stripRestrict removes the \restrict line that recent releases of pg_dump put
// before everything, and the \unrestrict line with the same token after it. The
// token is random, so that nothing between the two can be mistaken for the second.
func stripRestrict(dump string) string {
	head, rest := "", dump
	for line := range strings.Lines(dump) {
		if token, ok := strings.CutPrefix(line, `\restrict `); ok {
			rest = rest[len(line):]
			body, _, _ := strings.Cut(rest, "\n\\unrestrict "+strings.TrimSpace(token)+"\n")
			return head + body
		}
		if trimmed := strings.TrimSpace(line); trimmed != "" && !strings.HasPrefix(trimmed, "--") {
			break // statements begin: an old release
		}
		head, rest = head+line, rest[len(line):]
	}
	return dump
}

// Statements takes a text of DumpSchema apart. It refuses what DumpSchema never
// writes.
func Statements(text string) ([]Statement, error) {
	texts, err := ddl.Split(text)
	if err != nil {
		return nil, fmt.Errorf("take the schema apart: %w", err)
	}
	var all []Statement
	var who authorization
	for _, s := range texts {
		if who.sees(s) {
			continue
		}
		if !hasAnyPrefix(s, kept) || isLeftOut(s) {
			return nil, fmt.Errorf("load schema: a statement that does not belong into a schema: %s", excerpt(s))
		}
		all = append(all, Statement{who.owner, who.grantor, s})
	}
	return all, nil
}

// SchemaText writes what Statements reads: each statement in its order, with ";\n"
// and an empty line after it, and before it who executes it, where that changes.
func SchemaText(all []Statement) string {
	var b strings.Builder
	write := func(s string) { b.WriteString(s + ";\n\n") }
	var at authorization
	for _, s := range all {
		if at.grantor != "" && (at.grantor != s.Grantor || at.owner != s.Owner) {
			write(resetGrantor)
			at.grantor = ""
		}
		switch {
		case at.owner == s.Owner:
		case s.Owner == "":
			write("SET SESSION AUTHORIZATION DEFAULT")
		default:
			write("SET SESSION AUTHORIZATION '" + strings.ReplaceAll(s.Owner, "'", "''") + "'")
		}
		if s.Grantor != at.grantor {
			write("SET SESSION AUTHORIZATION " + action.QuoteIdent(s.Grantor))
		}
		at = authorization{s.Owner, s.Grantor}
		write(s.Text)
	}
	return b.String()
}

var (
	relationOwner    = regexp.MustCompile(`^ALTER (?:TABLE|VIEW|SEQUENCE|MATERIALIZED VIEW|FOREIGN TABLE) ` + dumpedName + ` OWNER TO `)
	createStatistics = regexp.MustCompile(`(?s)^CREATE STATISTICS ` + dumpedName + ` .* FROM ` + dumpedName + `$`)
)

// divide makes the two texts of a schema out of the two sections of pg_dump.
//
// In the pre-data an object gets its owner by ALTER … OWNER TO, because its owner
// may have lost the right to create it. In the post-data each statement has its
// owner. The rights on tables, views and sequences go from the pre-data to the end
// of the post-data, to their owners: row level security comes with the post-data,
// and nobody may see rows without it, nor can an owner who took INSERT away from
// himself load any.
func divide(preData, postData []Statement) (before, after []Statement) {
	owners := map[string]string{} // of relations
	for _, s := range preData {
		if m := relationOwner.FindStringSubmatch(s.Text); m != nil {
			owners[m[1]] = ddl.RoleNames(s.Text)[0]
		}
	}
	var rights []Statement
	for _, s := range preData {
		if owner := owners[ddl.RelationOfRight(s.Text)]; owner != "" {
			rights = append(rights, Statement{owner, s.Grantor, s.Text})
		} else {
			before = append(before, s)
		}
	}
	for _, s := range postData {
		m := createStatistics.FindStringSubmatch(s.Text)
		if m == nil || owners[m[2]] == "" || owners[m[2]] == s.Owner {
			after = append(after, s)
			continue
		}
		// Only the owner of the table can make them.
		after = append(after, Statement{Owner: owners[m[2]], Text: s.Text},
			Statement{Text: "ALTER STATISTICS " + m[1] + " OWNER TO " + action.QuoteIdent(s.Owner)})
	}
	return before, append(after, rights...)
}
