package ddl

import "strings"

// The words for a role that mean another one at a peer.
const (
	currentUser = "CURRENT_USER"
	currentRole = "CURRENT_ROLE"
	sessionUser = "SESSION_USER"
)

// NameRoles puts the names of roles, as SQL writes them, where a statement says
// CURRENT_USER, CURRENT_ROLE or SESSION_USER for a role: as an owner, in a policy, as one
// that is given rights or loses them. In expressions the words stay. What CREATE SCHEMA
// makes in the schema is made as the owner of that.
func NameRoles(statement, current, session string) string {
	var b strings.Builder
	done := 0
	all := tokens(statement)
	owner := schemaOwner(all)
	for _, t := range roleTokens(all) {
		name := statement[t.from:t.to]
		switch t.text {
		case sessionUser:
			name = session
		case currentUser, currentRole:
			name = current
		}
		if owner != nil && t == *owner {
			current = name
		}
		b.WriteString(statement[done:t.from])
		b.WriteString(name)
		done = t.to
	}
	return b.String() + statement[done:]
}

// schemaOwner is the token for the owner in CREATE SCHEMA, if there is one.
func schemaOwner(all []token) *token {
	if at(all, 0) != "CREATE" || at(all, 1) != "SCHEMA" {
		return nil
	}
	if i := find(all, 2, "AUTHORIZATION"); i >= 0 && i <= 6 && i+1 < len(all) {
		return &all[i+1]
	}
	return nil
}

// roleTokens are the tokens of a statement that stand for roles, with some more
// that are no such words in such a place.
func roleTokens(all []token) []token {
	switch tag := tagOf(all); tag {
	case "GRANT", "REVOKE":
		return all[max(find(all, 1, "TO", "FROM"), 0):]
	case "DROP OWNED":
		return all
	case "CREATE POLICY", "ALTER POLICY":
		from := max(find(all, 2, "TO"), 0)
		to := find(all, from, "USING", "WITH")
		if to < 0 {
			to = len(all)
		}
		return all[from:to]
	case "CREATE SCHEMA":
		return schemaRoles(all)
	default:
		if at(all, 0) != "ALTER" {
			return nil
		}
		var found []token
		for _, part := range split(all) {
			if i := ownerTail(part); i < len(part) {
				found = append(found, part[len(part)-1])
			}
		}
		return found
	}
}

// schemaRoles finds the owner of a schema, and those who get rights to what is
// made with it.
func schemaRoles(all []token) (found []token) {
	if owner := schemaOwner(all); owner != nil {
		found = append(found, *owner)
	}
	for from := find(all, 3, "GRANT"); from >= 0; {
		from = max(find(all, from, "TO"), from+1)
		end := find(all, from, "CREATE", "GRANT")
		for end >= 0 && all[end-1].text == "WITH" { // GRANT OPTION
			end = find(all, end+1, "CREATE", "GRANT")
		}
		if end < 0 {
			return append(found, all[from:]...)
		}
		found = append(found, all[from:end]...)
		from = find(all, end, "GRANT")
	}
	return found
}
