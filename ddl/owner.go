package ddl

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

// WithoutOwners returns the statement without the owners that it gives to what it
// makes or changes: OWNER TO, and AUTHORIZATION of a schema that has a name. It
// returns "" if nothing is left.
func WithoutOwners(statement string) string {
	all := tokens(statement)
	switch {
	case at(all, 0) == "ALTER":
		return alterWithout(statement, all, ownerTail, func(part string) string { return part })
	case at(all, 0) == "CREATE" && at(all, 1) == "SCHEMA":
		i := find(all, 2, "AUTHORIZATION")
		if i == 3 || i == 6 && all[4].text == "EXISTS" {
			return leaveOut(statement, all[i:i+2])
		}
	}
	return statement
}

// NewOwner returns the role that a statement makes the owner of the one object
// that it names, as SQL writes it in ALTER … OWNER TO, and nothing else. The name is ""
// for CURRENT_USER: in the stream that is whoever runs what has no role.
func NewOwner(statement string) (name string, ok bool) {
	all := tokens(statement)
	if at(all, 0) != "ALTER" || len(all) < 6 || WithoutOwners(statement) != "" {
		return "", false
	}
	last := all[len(all)-1]
	if last.text == currentUser {
		return "", true
	}
	return ident(statement, last), true
}

// ownerTail is the place in a part of ALTER where OWNER TO begins, or the part's
// length.
func ownerTail(part []token) int {
	n := len(part)
	if n < 3 || part[n-3].text != "OWNER" || part[n-2].text != "TO" || n > 3 && named[part[n-4].text] {
		return n
	}
	return n - 3
}

// named are the words after which OWNER is a name.
var named = map[string]bool{"RENAME": true, "COLUMN": true, "CONSTRAINT": true, "ATTRIBUTE": true}
