package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pgbridge/pgbridge/action"
)

// followerFacts are what the checks of a follower look at.
type followerFacts struct {
	replicaRole bool     // session_replication_role can be set
	opener      string   // the role that opens replication origins
	origins     []string // functions of replication origins that may not be called
	contents    []string // of a database that is to be empty
}

func checkFollower(ctx context.Context, tx pgx.Tx, t target) ([]Finding, error) {
	var (
		f   followerFacts
		err error
	)
	if f.replicaRole, err = mayReplay(ctx, tx); err != nil {
		return nil, err
	}
	// The applier opens its origin by a function of schema pgbridge, with its owner's rights.
	// The applier opens its origin by a function of schema pgbridge, with its owner's rights.
	const opener = `SELECT coalesce((SELECT r.rolname FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner
			WHERE n.nspname = 'pgbridge' AND has_function_privilege(to_regprocedure('pgbridge.open_origin(text)'), 'EXECUTE')), current_user)::text`
	if err = tx.QueryRow(ctx, opener).Scan(&f.opener); err != nil {
		return nil, fmt.Errorf("look at who opens replication origins: %w", err)
	}
	const origins = `SELECT p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' FROM pg_catalog.pg_proc p
		WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname IN ('pg_replication_origin_create', 'pg_replication_origin_session_setup')
			AND NOT has_function_privilege($1::name, p.oid, 'EXECUTE') ORDER BY 1`
	if f.origins, err = names(ctx, tx, origins, f.opener); err != nil {
		return nil, fmt.Errorf("look at replication origins: %w", err)
	}
	if t.stage == "" {
		if f.contents, err = contents(ctx, tx); err != nil {
			return nil, err
		}
	}
	return assessFollower(t, f), nil
}

// mayReplay tries: servers differ in who may (superusers, grantees from 15 on,
// the administrators of managed services), and so may the owner of schema pgbridge.
func mayReplay(ctx context.Context, tx pgx.Tx) (bool, error) {
	for _, query := range []string{"SET LOCAL session_replication_role = replica", "SELECT pgbridge.replica_role('replica')"} {
		may, err := mayRun(ctx, tx, query)
		if may || err != nil {
			return may, wrapUnlessNil("try session_replication_role", err)
		}
	}
	return false, nil
}

// mayRun tries a statement and undoes it.
func mayRun(ctx context.Context, tx pgx.Tx, query string) (bool, error) {
	try, err := tx.Begin(ctx) // a savepoint: the failure must not end tx
	if err != nil {
		return false, err
	}
	_, failure := try.Exec(ctx, query)
	if err := try.Rollback(ctx); err != nil {
		return false, err
	}
	var refused *pgconn.PgError
	if errors.As(failure, &refused) && slices.Contains([]string{"42501", "3F000", "42883"}, refused.Code) {
		return false, nil // not allowed, or pgbridge is not there
	}
	return failure == nil, failure
}

func assessFollower(t target, f followerFacts) (found []Finding) {
	if !f.replicaRole {
		fix := "GRANT SET ON PARAMETER session_replication_role TO " + t.quotedUser()
		if t.server.Major() < 15 {
			fix = "before Postgres 15 only superusers can: run pgbridge init --join as one, and pgbridge run as the role that it makes"
		}
		found = append(found, Finding{"replica-role", Fatal, "role " + t.user, "it may not set session_replication_role: triggers and foreign keys would act again on what is applied", fix})
	}
	if len(f.origins) > 0 {
		found = append(found, Finding{
			"origin-functions", Warning, "role " + t.user, "it may not work under a replication origin: a database that follows and writes would publish what it received",
			"GRANT EXECUTE ON FUNCTION " + summary(f.origins, len(f.origins)) + " TO " + action.QuoteIdent(f.opener),
		})
	}
	if len(f.contents) > 0 {
		found = append(found, Finding{"not-empty", Fatal, "database " + t.name, "it is not empty: it has " + summary(f.contents, 3), "createdb, and join with the new one"})
	}
	return found
}

// checkDump looks for the program that init needs.
func checkDump(ctx context.Context, _ pgx.Tx, t target) ([]Finding, error) {
	if t.publishes() {
		return nil, nil
	}
	_, err := FindDump(ctx, t.server.Major())
	if err == nil {
		return nil, nil
	}
	if ctx.Err() != nil {
		return nil, err
	}
	return []Finding{{
		"pg-dump", Fatal, "pg_dump", err.Error(), fmt.Sprintf("install the client programs of Postgres %d or newer", t.server.Major()),
	}}, nil
}
