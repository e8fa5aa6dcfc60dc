package ddl

import (
	"slices"
	"strings"
)

// IsRight tells whether a statement of pg_dump gives or takes a privilege.
func IsRight(statement string) bool {
	all := tokens(statement)
	switch at(all, 0) {
	case "GRANT", "REVOKE":
		return true
	case "ALTER":
		return at(all, 1) == "DEFAULT" && at(all, 2) == "PRIVILEGES"
	}
	return false
}

// IsOwner tells whether a statement of pg_dump gives an object to a role.
func IsOwner(statement string) bool {
	all := tokens(statement)
	n := len(all)
	return n > 4 && all[0].text == "ALTER" && all[n-3].text == "OWNER" && all[n-2].text == "TO"
}

// RoleNames returns the roles that a statement names: as an owner, in a right, or in a
// policy. PUBLIC and words like CURRENT_USER are no roles. It finds all of a statement of
// pg_dump, and those of other statements that are written alike.
func RoleNames(statement string) (names []string) {
	for _, t := range namedRoles(statement) {
		names = append(names, ident(statement, t))
	}
	return names
}

// ReplaceRoles writes other names for the roles of RoleNames.
func ReplaceRoles(statement string, by func(string) string) string {
	for _, t := range slices.Backward(namedRoles(statement)) {
		old := ident(statement, t)
		if name := by(old); name != old {
			statement = statement[:t.from] + `"` + strings.ReplaceAll(name, `"`, `""`) + `"` + statement[t.to:]
		}
	}
	return statement
}

// namedRoles are the places where a statement of pg_dump names roles, in order.
// pg_dump quotes every name that is a reserved word, so an unquoted TO or FROM is
// never a name.
func namedRoles(statement string) []token {
	all := tokens(statement)
	var found []token
	switch {
	case IsOwner(statement):
		found = all[len(all)-1:]
	case IsRight(statement):
		from := 1
		if at(all, 0) == "ALTER" && at(all, 3) == "FOR" && at(all, 4) == "ROLE" {
			found, from = listedRoles(all, 5), 6
		}
		found = append(found, listedRoles(all, find(all, from, "TO", "FROM")+1)...)
	case schemaOwner(all) != nil:
		found = []token{*schemaOwner(all)}
	case (at(all, 0) == "CREATE" || at(all, 0) == "ALTER") && at(all, 1) == "POLICY":
		until := find(all, 0, "USING", "WITH")
		if to := find(all, 0, "TO"); to > 0 && (until < 0 || to < until) && at(all, to-1) != "RENAME" {
			found = listedRoles(all, to+1)
		}
	}
	return slices.DeleteFunc(slices.Clone(found), func(t token) bool { return roleWords[t.text] })
}

// listedRoles takes the names with commas between them, from place i on.
func listedRoles(all []token, i int) (found []token) {
	for ; i > 0 && i < len(all); i += 2 {
		if all[i].text == "GROUP" && i+1 < len(all) { // a word without a meaning
			i++
		}
		found = append(found, all[i])
		if at(all, i+1) != "," {
			break
		}
	}
	return found
}

// roleWords are the words that stand where a role can.
var roleWords = map[string]bool{"PUBLIC": true, "CURRENT_USER": true, "CURRENT_ROLE": true, "SESSION_USER": true}

// RelationOfRight returns the table, view or sequence that a GRANT or REVOKE of
// pg_dump is about, as it writes it; empty where it is about something else.
func RelationOfRight(statement string) string {
	all := tokens(statement)
	if first := at(all, 0); first != "GRANT" && first != "REVOKE" {
		return ""
	}
	on := find(all, 0, "ON")
	end := find(all, 0, "TO", "FROM")
	if kind := at(all, on+1); on < 0 || end < on+3 || kind != "TABLE" && kind != "SEQUENCE" {
		return ""
	}
	return statement[all[on+2].from:all[end-1].to]
}

// TriggerFunction returns the function of a CREATE TRIGGER of pg_dump, as it writes
// it; empty for another statement.
func TriggerFunction(statement string) string {
	all := tokens(statement)
	i := find(all, 0, "EXECUTE")
	if at(all, 0) != "CREATE" || at(all, 1) != "TRIGGER" && at(all, 2) != "TRIGGER" || i < 0 {
		return ""
	}
	end := len(all) - 1 // the arguments
	if end < i+3 || all[end].text != "(" {
		return ""
	}
	return statement[all[i+2].from:all[end-1].to]
}
