package applier

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/ddl"
)

// roles are those that statements of the stream are executed as, and name.
type roles struct {
	conn     *pgx.Conn
	prepare  func(ctx context.Context, author string, named []string) error // Applier.Roles
	prepared map[string]bool                                                // calls of prepare that need not be repeated
}

// ready prepares the roles of a statement, and returns those that it names and that are
// not here. The statement may work all the same, where a word only looks like a role.
func (r *roles) ready(ctx context.Context, author, statement string) (missing []string, err error) {
	named := ddl.RoleNames(statement)
	if err := r.prepareOnce(ctx, author, named); err != nil || len(named) == 0 {
		return nil, err
	}
	const query = `SELECT coalesce(array_agg(n), '{}') FROM unnest($1::text[]) n WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = n)`
	if err := r.conn.QueryRow(ctx, query, named).Scan(&missing); err != nil {
		return nil, fmt.Errorf("look for roles: %w", err)
	}
	return missing, nil
}

func (r *roles) prepareOnce(ctx context.Context, author string, named []string) error {
	key := fmt.Sprintf("%q %q", author, named)
	if r.prepare == nil || author == "" && len(named) == 0 || r.prepared[key] {
		return nil
	}
	if err := r.prepare(ctx, author, named); err != nil {
		return fmt.Errorf("prepare roles: %w", err)
	}
	r.prepared[key] = true
	return nil
}

// missingRole says what to do where the server refused a statement because a role that it
// names is missing.
func missingRole(missing []string, err error) error {
	var refused *pgconn.PgError
	if len(missing) == 0 || !errors.As(err, &refused) || refused.Code != "42704" { // undefined_object
		return err
	}
	create := make([]string, len(missing))
	for i, name := range missing {
		create[i] = "CREATE ROLE " + action.QuoteIdent(name)
	}
	return fmt.Errorf("%w: an administrator has to make what the statement names (%s), and to start pgbridge again: %w", ErrRole, strings.Join(create, "; "), err)
}
