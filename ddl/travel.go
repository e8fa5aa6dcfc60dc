package ddl

import (
	"slices"
	"strings"
)

// The kinds of objects that stay at home. User mappings and subscriptions hold
// passwords; publications are about replication itself. What a role owns is
// marked object by object.
var atHome = []string{"PUBLICATION", "SUBSCRIPTION", "USER MAPPING", "OWNED"}

// Travels returns what peers are to run of a statement that fires event
// triggers, or "" if it is nothing to them. Tablespaces, publications,
// subscriptions, user mappings and large objects do not travel. A peer works in a
// transaction, so CONCURRENTLY is left out, and has no index that was not finished.
// A peer's administrator may have made an extension before.
func Travels(statement string) string {
	tag := Tag(statement)
	command, kind, _ := strings.Cut(tag, " ")
	if tag == defaultPrivileges {
		return statement
	}
	if !counts(tag) || slices.Contains(atHome, kind) {
		return ""
	}
	all := tokens(statement)
	switch command {
	case "GRANT", "REVOKE":
		if on := find(all, 1, "ON"); at(all, on+1) == "LARGE" && at(all, on+2) == "OBJECT" {
			return ""
		}
		return withoutGrantor(statement, all)
	case "COMMENT":
		return commentThatTravels(statement, all)
	case "ALTER":
		return alterThatTravels(statement, all)
	case "CREATE":
		return createThatTravels(statement, tag, all)
	case "DROP", "REFRESH":
		if i := find(all, 0, "CONCURRENTLY"); i >= 0 && i <= 3 {
			statement = leaveOut(statement, all[i:i+1])
		}
		if tag == "DROP INDEX" {
			return dropIfExists(statement)
		}
	}
	return statement
}

// dropIfExists lets DROP INDEX pass where there is none: an index that was not
// finished (CONCURRENTLY, which failed) is at no peer.
func dropIfExists(statement string) string {
	all := tokens(statement)
	if at(all, 2) == "IF" && at(all, 3) == "EXISTS" {
		return statement
	}
	return statement[:all[1].to] + " IF EXISTS" + statement[all[1].to:]
}

// withoutGrantor leaves out GRANTED BY, which can name nobody but who runs the
// statement.
func withoutGrantor(statement string, all []token) string {
	i := find(all, max(find(all, 1, "TO", "FROM"), 0)+2, "GRANTED")
	if i < 0 || at(all, i+1) != "BY" || i+2 >= len(all) {
		return statement
	}
	return leaveOut(statement, all[i:i+3])
}

// commentThatTravels leaves out what schemaText leaves out.
func commentThatTravels(statement string, all []token) string {
	switch kind := objectKind(all[min(2, len(all)):]); {
	case kind == "PUBLICATION", kind == "SUBSCRIPTION", kind == "EXTENSION":
		return ""
	}
	return statement
}

// alterThatTravels leaves out the parts, between commas, that name a tablespace.
func alterThatTravels(statement string, all []token) string {
	return alterWithout(statement, all, tablespaceTail, alterPart)
}

// alterWithout leaves out of ALTER what tail finds at the end of its parts, which
// are divided by commas. What is left of each part is as edit returns it. It
// returns "" if nothing is left.
func alterWithout(statement string, all []token, tail func([]token) int, edit func(string) string) string {
	var head string
	var kept []string
	changed := false
	for i, part := range split(all) {
		keep := tail(part)
		whole := statement[part[0].from:part[len(part)-1].to]
		text := edit(whole)
		changed = changed || keep < len(part) || text != whole
		switch {
		case keep == len(part):
			kept = append(kept, text)
		case i == 0:
			head = statement[:part[keep-1].to] + " "
		}
	}
	if !changed {
		return statement
	}
	if len(kept) == 0 {
		return ""
	}
	return head + strings.Join(kept, ", ")
}

// split splits at commas.
func split(all []token) (parts [][]token) {
	for from := 0; from < len(all); {
		to := find(all, from, ",")
		if to < 0 {
			to = len(all)
		}
		if to > from {
			parts = append(parts, all[from:to])
		}
		from = to + 1
	}
	return parts
}

// tablespaceTail is the place in a part of ALTER where SET TABLESPACE begins, or
// the part's length.
func tablespaceTail(part []token) int {
	n := len(part)
	if at(part, n-1) == "NOWAIT" {
		n--
	}
	if n >= 3 && part[n-3].text == "SET" && part[n-2].text == "TABLESPACE" {
		return n - 3
	}
	return len(part)
}

// alterPart leaves out of a part what a peer's transaction does not allow, and
// the tablespace of a constraint.
func alterPart(text string) string {
	all := tokens(text)
	if i := find(all, 0, "DETACH"); i >= 0 && at(all, i+1) == "PARTITION" {
		last := len(all) - 1
		if word := at(all, last); last > i+2 && (word == "CONCURRENTLY" || word == "FINALIZE") {
			return leaveOut(text, all[last:])
		}
	}
	return withoutIndexTablespaces(text)
}

func createThatTravels(statement, tag string, all []token) string {
	switch tag {
	case "CREATE EXTENSION":
		if at(all, 2) != "IF" || at(all, 4) != "EXISTS" {
			return statement[:all[1].to] + " IF NOT EXISTS" + statement[all[1].to:]
		}
	case "CREATE INDEX":
		if i := find(all, 0, "CONCURRENTLY"); i == 2 || i == 3 {
			statement = leaveOut(statement, all[i:i+1])
		}
	}
	switch tag {
	case "CREATE INDEX", "CREATE TABLE", "CREATE TABLE AS", "CREATE MATERIALIZED VIEW":
		return withoutTablespace(statement)
	}
	return statement
}

// withoutTablespace looks no further than where a query or a condition begins, but
// for constraints among the columns.
func withoutTablespace(statement string) string {
	statement = withoutIndexTablespaces(statement)
	all := tokens(statement)
	end := find(all, 0, "AS", "WHERE")
	if end < 0 {
		end = len(all)
	}
	for i := find(all[:end], 3, "TABLESPACE"); i >= 0 && i+1 < end; i = find(all[:end], i+1, "TABLESPACE") {
		if !beforeRelation[all[i-1].text] {
			return leaveOut(statement, all[i:i+2])
		}
	}
	return statement
}

// beforeRelation are the words after which a word is the name of a relation.
var beforeRelation = map[string]bool{
	"ON": true, "ONLY": true, "OF": true, "TABLE": true, "VIEW": true, "INDEX": true, "EXISTS": true, "CONCURRENTLY": true,
}

// withoutIndexTablespaces leaves out USING INDEX TABLESPACE, wherever it is: the
// words are reserved together.
func withoutIndexTablespaces(statement string) string {
	for i := 0; ; i++ {
		all := flat(statement)
		i = find(all, i, "TABLESPACE")
		switch {
		case i < 0:
			return statement
		case i >= 2 && i+1 < len(all) && all[i-1].text == "INDEX" && all[i-2].text == "USING":
			statement = leaveOut(statement, all[i-2:i+2])
			i -= 2
		}
	}
}

// leaveOut returns the statement without a run of its tokens.
func leaveOut(statement string, run []token) string {
	before := strings.TrimRight(statement[:run[0].from], " \t\r\n")
	after := strings.TrimLeft(statement[run[len(run)-1].to:], " \t\r\n")
	if before == "" || after == "" {
		return before + after
	}
	return before + " " + after
}

// RenamedSchema returns the names of a schema before and after a statement that
// renames it.
func RenamedSchema(statement string) (from, to string, ok bool) {
	all := tokens(statement)
	if len(all) != 6 || at(all, 0) != "ALTER" || at(all, 1) != "SCHEMA" || at(all, 3) != "RENAME" || at(all, 4) != "TO" {
		return "", "", false
	}
	return ident(statement, all[2]), ident(statement, all[5]), true
}

// ident is the name that a token writes.
func ident(statement string, t token) string {
	text := statement[t.from:t.to]
	if inner, ok := strings.CutPrefix(text, `"`); ok {
		return strings.ReplaceAll(strings.TrimSuffix(inner, `"`), `""`, `"`)
	}
	return strings.ToLower(text)
}
