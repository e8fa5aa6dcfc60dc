package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/action"
)

// RoleMade is what MakeRole did.
type RoleMade struct {
	Done    []string // statements, without the password
	Refused []Grant  // that the role of the session may not give
}

// MakeRole makes the role, if it is not there, and gives it what it lacks of grants.
// A password that is not empty becomes the role's: the server is sent a SCRAM verifier
// of it. To run it again, or at once in several databases, is safe. The role of the
// session needs CREATEROLE for a new role, and what it is to give; what it may not
// give is in the result.
func MakeRole(ctx context.Context, conn *pgx.Conn, role, password string, grants []Grant) (made RoleMade, err error) {
	user := action.QuoteIdent(role)
	exists, err := RoleExists(ctx, conn, role)
	if err != nil {
		return RoleMade{}, err
	}
	if !exists {
		create := "CREATE ROLE " + user + " LOGIN"
		err := execCatalog(ctx, conn, create)
		if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && refused.Code == "42710" {
			err = nil // somebody has just made it
		}
		if err != nil {
			return RoleMade{}, fmt.Errorf("%s: %w", create, err)
		}
		made.Done = append(made.Done, create)
	}
	if password != "" {
		verifier, err := scramVerifier(password)
		if err != nil {
			return RoleMade{}, err
		}
		if err := execCatalog(ctx, conn, "ALTER ROLE "+user+" PASSWORD '"+verifier+"'"); err != nil {
			return RoleMade{}, fmt.Errorf("set the password of role %s: %w", role, err)
		}
		made.Done = append(made.Done, "ALTER ROLE "+user+" PASSWORD (that of the file)")
	}
	missing, err := MissingGrants(ctx, conn, grants, role)
	if err != nil {
		return RoleMade{}, err
	}
	for _, g := range missing {
		err := execCatalog(ctx, conn, g.SQL)
		var refused *pgconn.PgError
		switch {
		case err == nil:
			made.Done = append(made.Done, g.SQL)
		case errors.As(err, &refused) && refused.Code == "42501":
			made.Refused = append(made.Refused, g)
		default:
			return made, fmt.Errorf("%s: %w", g.SQL, err)
		}
	}
	// A role that may not GRANT something is told so by a warning only.
	left, err := MissingGrants(ctx, conn, missing, role)
	if err != nil {
		return made, err
	}
	made.settle(left)
	return made, nil
}

// settle moves what is still missing from what was done to what was refused.
func (m *RoleMade) settle(left []Grant) {
	m.Refused = left
	for _, g := range left {
		for i, done := range m.Done {
			if done == g.SQL {
				m.Done = append(m.Done[:i], m.Done[i+1:]...)
				break
			}
		}
	}
}

// execCatalog executes a statement that changes a row of the catalogue which other
// databases share, and repeats it where another session changes the same one.
func execCatalog(ctx context.Context, conn *pgx.Conn, statement string) error {
	for attempt := 0; ; attempt++ {
		_, err := conn.Exec(ctx, statement)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || attempt == 50 ||
			refused.Code != "XX000" && refused.Code != "23505" { // tuple concurrently updated; the same row made twice
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// RoleExists tells whether the server has the role.
func RoleExists(ctx context.Context, q Querier, role string) (exists bool, err error) {
	err = q.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)", role).Scan(&exists)
	return exists, wrapUnlessNil("look for role "+role, err)
}

// MayMakeRoles tells whether the role of the session may.
func MayMakeRoles(ctx context.Context, q Querier) (may bool, err error) {
	err = q.QueryRow(ctx, "SELECT rolsuper OR rolcreaterole FROM pg_catalog.pg_roles WHERE rolname = current_user").Scan(&may)
	return may, wrapUnlessNil("look at the role of the session", err)
}

// IsSuperuser tells whether the role is a superuser. One that is not there is none.
func IsSuperuser(ctx context.Context, q Querier, role string) (super bool, err error) {
	err = q.QueryRow(ctx, "SELECT coalesce((SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = $1), false)", role).Scan(&super)
	return super, wrapUnlessNil("look at role "+role, err)
}

// SessionUser returns the role that a session logged in as.
func SessionUser(ctx context.Context, q Querier) (role string, err error) {
	err = q.QueryRow(ctx, "SELECT session_user").Scan(&role)
	return role, wrapUnlessNil("ask who the session is", err)
}

// ServiceURL is the database URL of an administrator with another role in it and,
// unless it is empty, that role's password. Its errors show no part of the URL that
// could be a password.
func ServiceURL(admin, role, password string) (string, error) {
	if _, err := Config(admin); err != nil {
		return "", err
	}
	rest, _ := cutScheme(admin)
	rest, query, _ := strings.Cut(rest, "?")
	if end := strings.IndexAny(rest, "@/"); end >= 0 && rest[end] == '@' {
		rest = rest[end+1:]
	}
	var keep []string
	for pair := range strings.SplitSeq(query, "&") {
		key, _, _ := strings.Cut(pair, "=")
		key, err := url.PathUnescape(key)
		if err != nil {
			return "", errors.New("database URL: " + wantURL)
		}
		if key != "" && key != "user" && key != "password" {
			keep = append(keep, pair)
		}
	}
	user := url.User(role)
	if password != "" {
		user = url.UserPassword(role, password)
	}
	text := "postgres://" + user.String() + "@" + rest
	if len(keep) > 0 {
		text += "?" + strings.Join(keep, "&")
	}
	if _, err := Config(text); err != nil {
		return "", err
	}
	return text, nil
}
