package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// roleFacts are what the checks of the session's role look at. The lists hold
// names as SQL writes them.
type roleFacts struct {
	superuser, replication bool
	createSchema           bool     // CREATE on the database
	foreign                []string // tables to publish that belong to another role
	unreadable             []string // tables and sequences without SELECT, or in a schema without USAGE
	filtered               []string // tables whose rows row level security hides
}

func checkRole(ctx context.Context, tx pgx.Tx, t target) ([]Finding, error) {
	f, err := loadRoleFacts(ctx, tx, t)
	if err != nil {
		return nil, fmt.Errorf("look at the role: %w", err)
	}
	return assessRole(t, f), nil
}

func loadRoleFacts(ctx context.Context, tx pgx.Tx, t target) (f roleFacts, err error) {
	// On RDS nobody has the attribute; its servers accept members of a role.
	const role = `SELECT rolsuper, rolreplication OR EXISTS (SELECT FROM pg_catalog.pg_roles g
				WHERE g.rolname = 'rds_replication' AND pg_has_role(g.oid, 'USAGE')), has_database_privilege(current_database(), 'CREATE')
			FROM pg_catalog.pg_roles WHERE rolname = current_user`
	if err = tx.QueryRow(ctx, role).Scan(&f.superuser, &f.replication, &f.createSchema); err != nil {
		return f, err
	}
	const from = `SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE ` + userSchema + ` AND ` + notOfExtension
	const published = from + ` AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
		AND ($1::text[] IS NULL OR n.nspname || '.' || c.relname = ANY ($1)) `
	wanted := t.wantedKeys()
	if f.foreign, err = names(ctx, tx, published+` AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1`, wanted); err != nil {
		return f, err
	}
	if f.filtered, err = names(ctx, tx, published+` AND row_security_active(c.oid) ORDER BY 1`, wanted); err != nil {
		return f, err
	}
	// Not only what is published: pg_dump locks every table.
	const unreadable = from + ` AND c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't' AND NOT (has_schema_privilege(n.oid, 'USAGE')
		AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT') ELSE has_table_privilege(c.oid, 'SELECT') END) ORDER BY 1`
	f.unreadable, err = names(ctx, tx, unreadable)
	return f, err
}

// wantedKeys are the tables of t as schema.name without quotes, nil for all.
// Two names may share a key; that is good enough for a list of suspects.
func (t target) wantedKeys() []string {
	if t.Tables == nil {
		return nil
	}
	keys := make([]string, len(t.Tables))
	for i, n := range t.Tables {
		keys[i] = n.Schema + "." + n.Name
	}
	return keys
}

func assessRole(t target, f roleFacts) (found []Finding) {
	if f.superuser {
		return nil
	}
	add := func(id string, subject, problem, fix string) {
		found = append(found, Finding{id, Fatal, subject, problem, fix})
	}
	user, grant := "role "+t.user, " TO "+t.quotedUser()
	if t.stage == "" && !f.createSchema {
		add("create", user, "it may not create schema pgbridge", "GRANT CREATE ON DATABASE "+pgx.Identifier{t.name}.Sanitize()+grant)
	}
	if len(f.filtered) > 0 {
		add("row-security", summary(f.filtered, 5), "row level security hides rows from "+user, "ALTER ROLE "+t.quotedUser()+" BYPASSRLS")
	}
	if t.Role == RoleFollower {
		return found
	}
	if !f.replication {
		add("replication", user, "it may not read the WAL", "ALTER ROLE "+t.quotedUser()+" REPLICATION (on RDS: GRANT rds_replication"+grant+")")
	}
	if t.publishes() {
		return found
	}
	if len(f.foreign) > 0 {
		add("ownership", summary(f.foreign, 5), user+" does not own what it is to publish", "make it a member of the owner: GRANT owner"+grant)
	}
	if len(f.unreadable) > 0 {
		add("select", summary(f.unreadable, 5), user+" may not read it, and so not dump the schema", "GRANT pg_read_all_data"+grant)
	}
	return found
}
