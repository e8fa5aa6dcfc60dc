package applier

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// quietError is an error without the values that the server quotes in it. It
// wraps the error as it came.
type quietError struct {
	text string
	err  error
}

func (e *quietError) Error() string { return e.text }
func (e *quietError) Unwrap() error { return e.err }

const withheld = "the server's message is withheld, it may quote values (see the server's log)"

// quiet returns err fit for logs. What the server quotes values in by itself
// are data exceptions; what a function raises can hold anything.
func quiet(err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Message == "" {
		return err
	}
	if class := pgErr.Code[:2]; class != "22" && class != "P0" && pgErr.Routine != "exec_stmt_raise" {
		return err
	}
	return &quietError{strings.ReplaceAll(err.Error(), pgErr.Message, withheld), err}
}
