package audit

import (
	"regexp"
	"slices"
	"strings"

	"github.com/pgbridge/pgbridge/ddl"
)

// Kinds of objects that hold no rows that the log tells of.
var rowless = []string{
	"INDEX", "FUNCTION", "PROCEDURE", "ROUTINE", "AGGREGATE", "VIEW", "MATERIALIZED VIEW", "TRIGGER", "POLICY", "SEQUENCE", "RULE", "STATISTICS",
}

// Statements that make something new, which no row has yet.
var making = []string{"CREATE TABLE", "CREATE SCHEMA", "CREATE TYPE", "CREATE DOMAIN", "CREATE EXTENSION", "COMMENT"}

// Statements about rights.
var rights = []string{"GRANT", "REVOKE", "ALTER DEFAULT PRIVILEGES"}

// quiet are changes of a table that leave its rows and columns: constraints,
// defaults, how values are kept. One only: others could follow a comma.
var quiet = regexp.MustCompile(`(?is)^\s*ALTER\s+TABLE\s+(IF\s+EXISTS\s+)?(ONLY\s+)?` + word + `(\.` + word + `)?\s+(` +
	`(ADD|DROP|VALIDATE|ALTER|RENAME)\s+CONSTRAINT\s|ADD\s+(PRIMARY\s+KEY|UNIQUE|CHECK|FOREIGN\s+KEY)\b|REPLICA\s+IDENTITY\s|(ENABLE|DISABLE|FORCE|NO\s+FORCE)\s|` +
	`ALTER\s+(COLUMN\s+)?` + word + `\s+((SET|DROP)\s+(DEFAULT|NOT\s+NULL)|SET\s+(STATISTICS|STORAGE|COMPRESSION))\b)`)

// another is where a second change of a table may begin.
var another = regexp.MustCompile(`(?i),\s*(ADD|DROP|ALTER|RENAME|SET|ATTACH|DETACH|INHERIT|NO)\s`)

var addValue = regexp.MustCompile(`(?is)^\s*ALTER\s+TYPE\s.*\sADD\s+VALUE\s`)

// leaves tells whether a statement leaves the rows of tables, and what their
// values mean, as they are. What is not plainly so is not.
func leaves(statement string) bool {
	if statement = ddl.WithoutOwners(statement); statement == "" {
		return true
	}
	tag := ddl.Tag(statement)
	verb, object, _ := strings.Cut(tag, " ")
	switch {
	case slices.Contains(making, tag), slices.Contains(rights, tag), addValue.MatchString(statement):
		return true
	case tag == "ALTER TABLE":
		return quiet.MatchString(statement) && !another.MatchString(statement)
	case verb == "CREATE" || verb == "ALTER" || verb == "DROP" || verb == "REFRESH":
		return slices.Contains(rowless, object)
	}
	return false
}
