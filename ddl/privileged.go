package ddl

import (
	"slices"
	"strings"
)

// RunsNothing tells whether a statement of a pre-data takes an administrator, or is about
// names only, and is known to evaluate no expression, literal or function of a user. Of
// others it says false: they are not to be executed with rights that their author had not.
func RunsNothing(statement string) bool {
	all := tokens(statement)
	if at(all, 0) == "COMMENT" || at(all, 0) == "SET" || IsRight(statement) || IsOwner(statement) {
		return true
	}
	if at(all, 0) != "CREATE" {
		return at(all, 0) == "ALTER" && at(all, 1) == "OPERATOR" && at(all, 2) == "FAMILY"
	}
	words := make([]string, 0, len(all))
	for i, t := range all {
		if i == 0 || all[i-1].text != "." { // not a part of a name
			words = append(words, t.text)
		}
	}
	kind := slices.DeleteFunc(slices.Clone(words[1:]), func(w string) bool {
		return slices.Contains([]string{"OR", "REPLACE", "TRUSTED", "PROCEDURAL"}, w)
	})
	if len(kind) == 0 {
		return false
	}
	switch kind[0] {
	case "EXTENSION", "LANGUAGE", "SERVER", "ACCESS", "CAST", "TRANSFORM":
		return true
	case "FOREIGN": // DATA WRAPPER
		return kind[1] == "DATA"
	case "OPERATOR": // CLASS, FAMILY
		return kind[1] == "CLASS" || kind[1] == "FAMILY"
	case "TEXT":
		return len(kind) > 2 && (kind[2] == "PARSER" || kind[2] == "TEMPLATE")
	case "TYPE": // a type of its own, or the shell of one
		return !slices.Contains(words, "AS")
	case "AGGREGATE":
		return strings.Contains(statement, "STYPE = internal") && !strings.Contains(statement, "INITCOND")
	case "FUNCTION", "PROCEDURE":
		return privilegedFunction(statement, words)
	}
	return false
}

// privilegedFunction tells whether a function may be one that only a superuser can make,
// while nothing in it is evaluated when it is made: neither a default nor a body in SQL.
func privilegedFunction(statement string, words []string) bool {
	language := slices.Index(words, "LANGUAGE")
	body := slices.Index(words, "AS")
	if language < 0 || language+1 >= len(words) || body < 0 || !hasPlainDefaults(statement) ||
		slices.Contains(words, "RETURN") || slices.Contains(words, "ATOMIC") {
		return false
	}
	plain := words[language+1] == "SQL" || words[language+1] == "PLPGSQL"
	special := slices.ContainsFunc(words, func(w string) bool { return w == "LEAKPROOF" || w == "SUPPORT" || w == "SET" })
	return !plain || special
}

// hasPlainDefaults tells whether the defaults of a function's parameters are constants of the
// server's own types, as pg_dump writes them: without a call, and without the name of a
// schema.
func hasPlainDefaults(statement string) bool {
	all := flat(statement)
	for i := find(all, 0, "DEFAULT"); i >= 0; i = find(all, i+1, "DEFAULT") {
		for _, t := range all[i+1:] {
			if t.text == "," || t.text == ")" {
				break
			}
			if t.text == "(" || strings.HasPrefix(t.text, `"`) {
				return false
			}
		}
	}
	return true
}
