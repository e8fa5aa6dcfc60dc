package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
)

// DefaultServiceRole is the role as which the service connects unless init names
// another.
const DefaultServiceRole = "pgbridge"

// Grant is one right that the service needs of the cluster or of the database. What
// it needs in schema pgbridge is listed in sql/functions/rights.sql.
type Grant struct {
	ID       string   // of the finding of Check that it is missing
	SQL      string   // gives it
	Severity Severity // of its absence
	Without  string   // what happens without it
	held     string   // a condition with $1, the name of the role
}

// Grants lists what a service role needs on this server, in the order in which it is
// given: of a database that publishes (RoleWriter) or that follows. A database that is
// to do the other thing later is set up by init, or restore, for that.
//
// No server before 15 can give a role session_replication_role.
func Grants(server Server, database, role string, use Role) []Grant {
	user, db := action.QuoteIdent(role), action.QuoteIdent(database)
	const attribute = "(SELECT %s FROM pg_catalog.pg_roles WHERE rolname = $1)"
	all := []Grant{
		{
			"login", "ALTER ROLE " + user + " LOGIN", Fatal, "it cannot connect",
			fmt.Sprintf(attribute, "rolcanlogin"),
		},
		{
			"inherit", "ALTER ROLE " + user + " INHERIT", Fatal, "it does not have the rights of the roles that it is a member of",
			fmt.Sprintf(attribute, "rolinherit"),
		},
		{
			"connect", "GRANT CONNECT ON DATABASE " + db + " TO " + user, Fatal, "it cannot connect to this database",
			"pg_catalog.has_database_privilege($1, pg_catalog.current_database(), 'CONNECT')",
		},
		{
			"bypass-row-security", "ALTER ROLE " + user + " BYPASSRLS", Warning,
			"a table with row level security stops it",
			fmt.Sprintf(attribute, "rolbypassrls OR rolsuper"),
		},
		{
			"read", "GRANT pg_read_all_data TO " + user, Warning, "it can read only the tables and sequences that were granted to it, and no new ones",
			"pg_catalog.pg_has_role($1, 'pg_read_all_data', 'USAGE')",
		},
	}
	if use == RoleWriter {
		// On RDS nobody has the attribute; its servers accept members of a role.
		return append(all, Grant{
			"replication", "ALTER ROLE " + user + " REPLICATION", Fatal,
			"it may not read the WAL (on RDS: GRANT rds_replication TO " + user + ")",
			fmt.Sprintf(attribute, "rolreplication OR rolsuper") + ` OR EXISTS (SELECT FROM pg_catalog.pg_roles g
				WHERE g.rolname = 'rds_replication' AND pg_catalog.pg_has_role($1, g.oid, 'USAGE'))`,
		})
	}
	all = append(all, Grant{
		"write", "GRANT pg_write_all_data TO " + user, Fatal, "it cannot write what others publish",
		"pg_catalog.pg_has_role($1, 'pg_write_all_data', 'USAGE')",
	})
	all = append(all, Grant{
		"create", "GRANT CREATE ON DATABASE " + db + " TO " + user, Warning, "it cannot make schemas and extensions that a superuser makes at the source",
		"pg_catalog.has_database_privilege($1, pg_catalog.current_database(), 'CREATE')",
	})
	if server.Major() >= 15 {
		all = append(all, Grant{
			"replica-role", "GRANT SET ON PARAMETER session_replication_role TO " + user, Fatal,
			"it cannot set session_replication_role: triggers and foreign keys would act again on what is applied",
			"pg_catalog.has_parameter_privilege($1, 'session_replication_role', 'SET')",
		})
	}
	return all
}

// MissingGrants lists those of Grants that the role, which exists, does not have.
func MissingGrants(ctx context.Context, q Querier, all []Grant, role string) ([]Grant, error) {
	var missing []Grant
	for _, g := range all {
		var held bool
		if err := q.QueryRow(ctx, "SELECT coalesce(("+g.held+"), false)", role).Scan(&held); err != nil {
			return nil, fmt.Errorf("look for the rights of role %s: %w", role, err)
		}
		if !held {
			missing = append(missing, g)
		}
	}
	return missing, nil
}

// ServiceRole returns the role as which the service is to connect, as init left it,
// or "". The schema must be installed.
func ServiceRole(ctx context.Context, q Querier) (role string, err error) {
	err = q.QueryRow(ctx, `SELECT coalesce((SELECT r.rolname FROM pgbridge.installed i JOIN pg_catalog.pg_roles r ON r.oid = i.service)::text, '')`).Scan(&role)
	return role, wrapUnlessNil("look for the service role", err)
}

// SetServiceRole makes the role the one as which the service connects, and gives it
// the rights that it needs in schema pgbridge. Another that had them loses them. conn
// must be of the owner of the schema, or of a member of it.
func SetServiceRole(ctx context.Context, conn *pgx.Conn, role string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := ours.lock(ctx, tx); err != nil {
			return err
		}
		const query = `UPDATE pgbridge.installed SET service = r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = $1`
		tag, err := tx.Exec(ctx, query, role)
		if err == nil && tag.RowsAffected() == 0 {
			return fmt.Errorf("make %s the service role: there is no such role", role)
		}
		if err == nil {
			_, err = tx.Exec(ctx, "SELECT pgbridge.settle_rights()")
		}
		return wrapUnlessNil("grant the rights of the service role "+role, err)
	})
}

// MissingSchemaRights lists the GRANT statements of those rights in schema pgbridge
// that the role should have and has not, somebody having taken them away.
func MissingSchemaRights(ctx context.Context, q Querier, role string) ([]string, error) {
	const query = `SELECT pg_catalog.format('GRANT %s ON %s TO %I', s.privileges, s.object, $1::text)
		FROM pgbridge.service_rights() AS s,
			LATERAL (SELECT pg_catalog.split_part(s.object, ' ', 1), pg_catalog.substr(s.object, pg_catalog.strpos(s.object, ' ') + 1)) AS o(kind, name)
		WHERE NOT CASE o.kind
			WHEN 'SCHEMA' THEN pg_catalog.has_schema_privilege($1, o.name, s.privileges)
			WHEN 'FUNCTION' THEN pg_catalog.has_function_privilege($1, o.name, s.privileges)
			ELSE (SELECT pg_catalog.bool_and(CASE WHEN p LIKE '%(%'
					THEN pg_catalog.has_any_column_privilege($1, o.name, pg_catalog.btrim(pg_catalog.split_part(p, '(', 1)))
					ELSE pg_catalog.has_table_privilege($1, o.name, pg_catalog.btrim(p)) END)
				FROM pg_catalog.unnest(CASE WHEN s.privileges LIKE '%(%' THEN ARRAY[s.privileges]
					ELSE pg_catalog.string_to_array(s.privileges, ',') END) AS p) END`
	missing, err := names(ctx, q, query, role)
	return slices.Clip(missing), wrapUnlessNil("look for the rights of role "+role+" in schema pgbridge", err)
}
