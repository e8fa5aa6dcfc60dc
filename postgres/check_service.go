package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// serviceFacts are what the checks of the service role look at.
type serviceFacts struct {
	role     string   // "": none was made
	missing  []Grant  // of the cluster and of the database
	rights   []string // in schema pgbridge, as statements that give them
	filtered []string // tables whose rows row level security hides from it
	exposed  []string // roles with power over the cluster that pg_write_all_data reaches
}

// checkService looks whether the service role of a database that is set up has what
// it needs. What checkRole and checkFollower say of the role of the session is not
// said twice.
func checkService(ctx context.Context, tx pgx.Tx, t target) ([]Finding, error) {
	if t.stage == "" {
		return nil, nil // init makes it
	}
	f, err := loadServiceFacts(ctx, tx, t)
	if err != nil {
		return nil, fmt.Errorf("look at the service role: %w", err)
	}
	return assessService(t, f), nil
}

func loadServiceFacts(ctx context.Context, tx pgx.Tx, t target) (f serviceFacts, err error) {
	if f.role, err = ServiceRole(ctx, tx); err != nil {
		return f, err
	}
	role := f.role
	if role == "" {
		super, err := IsSuperuser(ctx, tx, t.user)
		if err != nil || super {
			return f, err
		}
		role = t.user
	} else if f.rights, err = MissingSchemaRights(ctx, tx, role); err != nil {
		return f, err
	}
	f.role = role
	if f.missing, err = MissingGrants(ctx, tx, Grants(t.server, t.name, role, t.Role), role); err != nil {
		return f, err
	}
	const filtered = `SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE ` + userSchema + ` AND c.relrowsecurity AND (c.relforcerowsecurity OR NOT pg_catalog.pg_has_role($1, c.relowner, 'USAGE'))
		ORDER BY 1`
	if f.filtered, err = names(ctx, tx, filtered, role); err != nil || t.Role == RoleWriter {
		return f, err
	}
	// The view pg_group takes writes: it has the roles without LOGIN.
	f.exposed, err = names(ctx, tx, `SELECT pg_catalog.quote_ident(rolname) FROM pg_catalog.pg_roles
		WHERE (rolsuper OR rolcreaterole) AND NOT rolcanlogin ORDER BY 1`)
	return f, err
}

func assessService(t target, f serviceFacts) (found []Finding) {
	if f.role == "" {
		return []Finding{{
			"service-role", Warning, "database " + t.name, "there is no role for the service: pgbridge run refuses a superuser", "pgbridge init --role " + DefaultServiceRole,
		}}
	}
	own := []string{}
	if f.role == t.user {
		own = []string{"replication", "replica-role"}
	}
	for _, g := range f.missing {
		switch {
		case slices.Contains(own, g.ID):
			continue
		case g.ID == "bypass-row-security" && len(f.filtered) > 0:
			if f.role == t.user && t.Role == RoleWriter {
				continue // checkRole
			}
			g.Severity, g.Without = Fatal, "row level security hides rows of "+summary(f.filtered, 5)+" from it"
		}
		found = append(found, Finding{g.ID, g.Severity, "role " + f.role, "without a right " + g.Without, g.SQL})
	}
	for _, role := range f.exposed {
		found = append(found, Finding{
			"exposed-role", Warning, "role " + role, "who holds the session of role " + f.role + " can take its place: pg_write_all_data covers pg_catalog.pg_group, which has the roles without LOGIN",
			"ALTER ROLE " + role + " LOGIN PASSWORD NULL",
		})
	}
	if len(f.rights) > 0 {
		found = append(found, Finding{
			"schema-rights", Fatal, "role " + f.role, fmt.Sprintf("it lacks %d of its rights in schema pgbridge", len(f.rights)),
			"pgbridge init, or " + strings.Join(f.rights, "; "),
		})
	}
	return found
}
