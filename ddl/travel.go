package ddl

import (
	"slices"
	"strings"
)

// The kinds of objects that stay at home. Roles and rights are a matter of each
// server; the others hold passwords, or are about replication itself.
var atHome = []string{"PUBLICATION", "SUBSCRIPTION", "USER MAPPING", "OWNED", "DEFAULT PRIVILEGES"}

// Travels returns what peers are to run of a statement that fires event
// triggers, or "" if it is nothing to them. Rights, owners, tablespaces,
// publications, subscriptions and user mappings do not travel. A peer works in a
// transaction, so CONCURRENTLY is left out, and has no index that was not finished.
func Travels(statement string) string {
	tag := Tag(statement)
	command, kind, _ := strings.Cut(tag, " ")
	if !counts(tag) || slices.Contains(atHome, kind) {
		return ""
	}
	all := tokens(statement)
	switch command {
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

// commentThatTravels leaves out what schemaText leaves out.
func commentThatTravels(statement string, all []token) string {
	switch kind := objectKind(all[min(2, len(all)):]); {
	case kind == "PUBLICATION", kind == "SUBSCRIPTION", kind == "EXTENSION":
		return ""
	}
	return statement
}

// alterThatTravels leaves out the parts, between commas, that name an owner or
// a tablespace.
func alterThatTravels(statement string, all []token) string {
	var head string
	var kept []string
	changed := false
	for i, part := range split(all) {
		tail := homeTail(part)
		whole := statement[part[0].from:part[len(part)-1].to]
		text := alterPart(whole)
		changed = changed || tail < len(part) || text != whole
		switch {
		case tail == len(part):
			kept = append(kept, text)
		case i == 0:
			head = statement[:part[tail-1].to] + " "
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

// homeTail is the place in a part of ALTER where OWNER TO or SET TABLESPACE
// begins, or the part's length.
func homeTail(part []token) int {
	n := len(part)
	if at(part, n-1) == "NOWAIT" {
		n--
	}
	if n < 3 {
		return len(part)
	}
	switch first, second := part[n-3].text, part[n-2].text; {
	case first == "SET" && second == "TABLESPACE":
		return n - 3
	case first == "OWNER" && second == "TO" && (n == 3 || !named[part[n-4].text]):
		return n - 3
	}
	return len(part)
}

// named are the words after which OWNER is a name.
var named = map[string]bool{"RENAME": true, "COLUMN": true, "CONSTRAINT": true, "ATTRIBUTE": true}

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
	if tag == "CREATE SCHEMA" {
		return schemaThatTravels(statement, all)
	}
	if tag == "CREATE INDEX" {
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
	if i := find(all[:end], 3, "TABLESPACE"); i >= 0 && i+1 < end && all[i-1].text != "." {
		return leaveOut(statement, all[i:i+2])
	}
	return statement
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

// NameSchema gives CREATE SCHEMA AUTHORIZATION the name of the schema that it
// made: that of a role, which may be CURRENT_USER. Other statements are as before.
func NameSchema(statement, name string) string {
	all := tokens(statement)
	i := find(all, 2, "AUTHORIZATION")
	if i == 2 || i == 5 && all[4].text == "EXISTS" {
		return statement[:all[i].from] + name + " " + statement[all[i].from:]
	}
	return statement
}

// schemaThatTravels leaves out the owner, and rights to what is made with the
// schema. A schema without a name has its owner's.
func schemaThatTravels(statement string, all []token) string {
	for from := find(all, 3, "GRANT"); from >= 0; from = find(all, 3, "GRANT") {
		to := find(all, from+1, "CREATE", "GRANT")
		for to >= 0 && all[to-1].text == "WITH" { // GRANT OPTION
			to = find(all, to+1, "CREATE", "GRANT")
		}
		if to < 0 {
			to = len(all)
		}
		statement = leaveOut(statement, all[from:to])
		all = tokens(statement)
	}
	i := find(all, 2, "AUTHORIZATION")
	if i < 0 || i+1 >= len(all) {
		return statement
	}
	if i == 2 || all[i-1].text == "EXISTS" && i == 5 {
		return leaveOut(statement, all[i:i+1])
	}
	return leaveOut(statement, all[i:i+2])
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
