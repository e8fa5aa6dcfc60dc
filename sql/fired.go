package sql

import (
	"errors"
	"fmt"
)

// ErrStatement: which statement of a text changed the schema cannot be told.
var ErrStatement = errors.New("a statement that changed the schema cannot be told from others")

// Fired returns the statement of a query string that fired event triggers as the
// n-th of the string, from 1, with a command tag. It is wrong about nothing: where
// the number and the tag do not agree on one statement, the error wraps ErrStatement.
func Fired(text string, n int, tag string) (string, error) {
	all, err := SplitStatements(text)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrStatement, err)
	}
	var found []string
	for _, reindex := range []bool{true, false} { // it fires since version 17
		if s, ok := fired(all, n, tag, reindex); ok && (len(found) == 0 || s != found[0]) {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		found = tagged(all, tag)
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%w: %s, which is number %d of %d statements that a client sent as one: send it alone", ErrStatement, tag, n, len(all))
	}
	return found[0], nil
}

func fired(all []string, n int, tag string, reindex bool) (string, bool) { //nolint:revive // two kinds of servers
	for _, s := range all {
		switch got := Tag(s); {
		case got == "", got == "REINDEX" && !reindex:
			continue
		case n > 1:
			n--
		default:
			return s, got == tag
		}
	}
	return "", false
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
