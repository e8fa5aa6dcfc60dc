package ddl

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrStatement: which statement of a text changed the schema cannot be told.
var ErrStatement = errors.New("a statement that changed the schema cannot be told from others")

// Fired returns the statement of a query string that event triggers marked as
// its n-th, from 1, with a command tag: see sql/functions/statements.sql for those that count.
// It is wrong about nothing: where the number and the tag do not agree on one
// statement, the error wraps ErrStatement.
func Fired(text string, n int, tag string) (string, error) {
	all, err := Split(text)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrStatement, err)
	}
	return FiredOf(all, n, tag)
}

// FiredOf is Fired for a query string that was split before.
func FiredOf(all []string, n int, tag string) (string, error) {
	left := n
	for _, s := range all {
		got := Tag(s)
		if !counts(got) {
			continue
		}
		if left--; left == 0 && got == tag {
			return s, nil
		}
	}
	if found := tagged(all, tag); len(found) == 1 {
		return found[0], nil
	}
	return "", fmt.Errorf("%w: %s, which is number %d of %d statements that a client sent as one: send it alone", ErrStatement, tag, n, len(all))
}

// counts tells whether a statement with this tag has a number.
func counts(tag string) bool {
	command, kind, _ := strings.Cut(tag, " ")
	switch command {
	case "", "SECURITY", "REINDEX":
		return false
	}
	return kind != "LARGE OBJECT" && tag != defaultPrivileges && (kind == "OWNED" || !slices.Contains(atHome, kind))
}

// tagged are the statements with the tag.
func tagged(all []string, tag string) (found []string) {
	for _, s := range all {
		if Tag(s) == tag {
			found = append(found, s)
		}
	}
	return found
}
