package ddl

import "fmt"

// FiredInside is Fired for a text that a function ran, maybe several times in its
// transaction: n goes on counting from one time to the next.
func FiredInside(text string, n int, tag string) (string, error) {
	all, err := Split(text)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrStatement, err)
	}
	count := 0
	for _, s := range all {
		if counts(Tag(s)) {
			count++
		}
	}
	if count == 0 {
		return "", fmt.Errorf("%w: %s in a text that a function ran", ErrStatement, tag)
	}
	return Fired(text, (n-1)%count+1, tag)
}

// StatementOf returns the n-th statement, from 1, of the body of a function in
// SQL. The error wraps ErrStatement where that has another command tag.
func StatementOf(body string, n int, tag string) (string, error) {
	all, err := Split(body)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrStatement, err)
	}
	if n < 1 || n > len(all) || Tag(all[n-1]) != tag {
		return "", fmt.Errorf("%w: %s, number %d in the body of a function", ErrStatement, tag, n)
	}
	return all[n-1], nil
}
