package ddl

import (
	"fmt"
	"strings"
)

const defaultPrivileges = "ALTER DEFAULT PRIVILEGES"

// GrantOn returns a GRANT or REVOKE of the same privileges, to or from the same
// roles, on other objects: those of a kind, as TABLE or FOREIGN SERVER, with their names
// as SQL writes them. DROP OWNED becomes the REVOKE that it is for objects which
// belong to others. The error wraps ErrStatement for any other statement.
func GrantOn(statement, kind string, objects []string) (string, error) {
	all := tokens(statement)
	on := " ON " + kind + " " + strings.Join(objects, ", ") + " "
	switch at(all, 0) {
	case "GRANT":
		return grantOn(statement, on, all, "TO")
	case "REVOKE":
		return grantOn(statement, on, all, "FROM")
	case "DROP":
		if by := find(all, 0, "BY"); by == 2 && all[1].text == "OWNED" && len(all) > 3 {
			end := len(all)
			if last := at(all, end-1); last == "CASCADE" || last == "RESTRICT" {
				end--
			}
			return "REVOKE ALL" + on + "FROM " + statement[all[3].from:all[end-1].to] + " CASCADE", nil
		}
	}
	return "", fmt.Errorf("%w: it gives and takes no rights: %s", ErrStatement, Tag(statement))
}

func grantOn(statement, on string, all []token, before string) (string, error) {
	from := find(all, 1, "ON")
	to := find(all, max(from, 0), before)
	if from < 0 || to < 0 {
		return "", fmt.Errorf("%w: the objects of a %s cannot be told", ErrStatement, all[0].text)
	}
	return statement[:all[from-1].to] + on + statement[all[to].from:], nil
}
