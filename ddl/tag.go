package ddl

import "strings"

// Tag is the command tag of a statement that fires event triggers, as the
// server gives it to them (tg_tag), or "" of one that fires none.
//
// Which do is the server's table of commands (src/include/tcop/cmdtaglist.h) and
// the kinds of objects that belong to the database alone. REINDEX, which fires
// since version 17, counts as one that does.
func Tag(statement string) string { return tagOf(tokens(statement)) }

func tagOf(all []token) string {
	switch first := at(all, 0); first {
	case "CREATE":
		return createTag(all)
	case "ALTER", "DROP":
		return objectTag(first, all[1:])
	case "COMMENT", "SECURITY":
		return labelTag(first, all)
	case "GRANT", "REVOKE":
		return grantTag(first, all)
	case "SELECT", "WITH", "(":
		return selectTag(all)
	case "IMPORT":
		return "IMPORT FOREIGN SCHEMA"
	case "REFRESH":
		return "REFRESH MATERIALIZED VIEW"
	case "REINDEX":
		return "REINDEX"
	}
	return ""
}

// createWords may stand between CREATE and the kind of object.
var createWords = map[string]bool{
	"OR": true, "REPLACE": true, "GLOBAL": true, "LOCAL": true, "TEMP": true, "TEMPORARY": true, "UNLOGGED": true, "TRUSTED": true,
	"UNIQUE": true, "RECURSIVE": true, "CONSTRAINT": true, "DEFAULT": true,
}

func createTag(all []token) string {
	i := 1
	for createWords[at(all, i)] {
		i++
	}
	tag := objectTag("CREATE", all[i:])
	if tag == "CREATE TABLE" && isTableAs(all) {
		return "CREATE TABLE AS"
	}
	return tag
}

// isTableAs tells CREATE TABLE … AS from other CREATE TABLE: there, the word
// stands in parentheses only.
func isTableAs(all []token) bool { return find(all, 0, "AS") >= 0 }

// objects are the kinds whose commands fire event triggers. Longer ones first.
var objects = []string{
	"ACCESS METHOD", "AGGREGATE", "CAST", "COLLATION", "CONVERSION", "DEFAULT PRIVILEGES", "DOMAIN", "EXTENSION", "FOREIGN DATA WRAPPER", "FOREIGN TABLE",
	"FUNCTION", "INDEX", "LANGUAGE", "LARGE OBJECT", "MATERIALIZED VIEW", "OPERATOR CLASS", "OPERATOR FAMILY", "OPERATOR", "OWNED", "POLICY", "PROCEDURE",
	"PUBLICATION", "ROUTINE", "RULE", "SCHEMA", "SEQUENCE", "SERVER", "STATISTICS", "SUBSCRIPTION", "TABLE", "TEXT SEARCH CONFIGURATION",
	"TEXT SEARCH DICTIONARY", "TEXT SEARCH PARSER", "TEXT SEARCH TEMPLATE", "TRANSFORM", "TRIGGER", "TYPE", "USER MAPPING", "VIEW",
}

// objectTag is the tag of a command on the kind of object that all begins with.
func objectTag(command string, all []token) string {
	if at(all, 0) == "PROCEDURAL" { // LANGUAGE
		all = all[1:]
	}
	if kind := objectKind(all); kind != "" {
		return command + " " + kind
	}
	return ""
}

func objectKind(all []token) string {
	var words []string
	for i := range min(3, len(all)) {
		words = append(words, all[i].text)
	}
	begin := strings.Join(words, " ") + " "
	for _, kind := range objects {
		if strings.HasPrefix(begin, kind+" ") {
			return kind
		}
	}
	return ""
}

// labelTag is the tag of COMMENT ON and of SECURITY LABEL … ON.
func labelTag(command string, all []token) string {
	if command == "SECURITY" {
		command = "SECURITY LABEL"
	}
	on := find(all, 1, "ON")
	if on < 0 || shared[at(all, on+1)] || at(all, on+1) == "EVENT" {
		return ""
	}
	return command
}

// shared are the kinds of objects that belong to the whole server.
var shared = map[string]bool{"DATABASE": true, "TABLESPACE": true, "ROLE": true, "PARAMETER": true}

// grantTag is the tag of GRANT and REVOKE, but of those of roles.
func grantTag(command string, all []token) string {
	on := find(all, 1, "ON")
	if on < 0 || shared[at(all, on+1)] && isKind(all, on+1) {
		return ""
	}
	return command
}

// isKind tells whether word i of GRANT or REVOKE is the kind of what follows, and not itself
// the name of a table.
func isKind(all []token, i int) bool {
	next := at(all, i+1)
	return next != "TO" && next != "FROM" && next != ","
}

// selectTag finds SELECT … INTO.
func selectTag(all []token) string {
	verb := find(all, 0, "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "TABLE")
	if at(all, max(verb, 0)) != "SELECT" {
		return ""
	}
	into := find(all, verb, "INTO")
	if into < 0 || at(all, into-1) == "AS" {
		return ""
	}
	return "SELECT INTO"
}
