package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// relationCheck lists what is in the database and does not travel as rows do.
type relationCheck struct {
	id       string
	severity Severity
	follower bool // of interest to followers too
	problem  string
	fix      string
	query    string // of names
}

const relationName = `SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace `

var relationChecks = []relationCheck{
	{
		id: "unlogged", severity: Warning, problem: "unlogged tables are not in the WAL: their rows are not published", fix: "ALTER TABLE … SET LOGGED",
		query: relationName + `WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'p') AND ` + userSchema + ` AND ` + notOfExtension,
	},
	{
		id: "foreign-tables", severity: Warning, problem: "rows of foreign tables are elsewhere: they are not published",
		query: relationName + `WHERE c.relkind = 'f' AND ` + userSchema + ` AND ` + notOfExtension,
	},
	{
		id: "extension-tables", severity: Info, problem: "tables of extensions are not published",
		query: relationName + `WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND ` + userSchema + ` AND NOT (` + notOfExtension + `)`,
	},
	{
		id: "materialized-views", severity: Info, problem: "the definitions are published, not the rows: a REFRESH here makes them on each database, from its tables",
		query: relationName + `WHERE c.relkind = 'm' AND ` + userSchema + ` AND ` + notOfExtension,
	},
	{
		id: "large-objects", severity: Warning, problem: "large objects are not in the stream: they are not published", fix: "keep the bytes in a bytea column",
		query: `SELECT DISTINCT 'large objects' FROM pg_catalog.pg_largeobject_metadata`,
	},
	{
		id: "always-triggers", severity: Warning, follower: true, problem: "triggers that are ENABLE ALWAYS or REPLICA fire again where the changes are applied",
		fix: "ALTER TABLE … ENABLE TRIGGER …",
		query: `SELECT quote_ident(t.tgname) || ' on ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname)
			FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			WHERE t.tgenabled IN ('A', 'R') AND NOT t.tgisinternal AND t.tgparentid = 0 AND ` + userSchema,
	},
	{
		id: "always-rules", severity: Warning, follower: true, problem: "rules that are ENABLE ALWAYS or REPLICA act again where the changes are applied",
		fix: "ALTER TABLE … ENABLE RULE …",
		query: `SELECT quote_ident(r.rulename) || ' on ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname)
			FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			WHERE r.ev_enabled IN ('A', 'R') AND ` + userSchema,
	},
	{
		id: "user-mappings", severity: Info, problem: "user mappings may hold passwords: they are not published", fix: "make them on each database",
		query: `SELECT DISTINCT 'user mappings of server ' || quote_ident(srvname) FROM pg_catalog.pg_user_mappings`,
	},
	{
		id: "event-triggers", severity: Info, problem: "event triggers are not published", fix: "make them on each database",
		query: `SELECT quote_ident(e.evtname) FROM pg_catalog.pg_event_trigger e
			WHERE e.evtname !~ '^pgbridge_' AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
				WHERE d.classid = 'pg_catalog.pg_event_trigger'::regclass AND d.objid = e.oid AND d.deptype = 'e')`,
	},
	{
		id: "security-labels", severity: Info, problem: "security labels are not published", fix: "SECURITY LABEL on each database",
		query: `SELECT DISTINCT 'labels of ' || quote_ident(provider) FROM pg_catalog.pg_seclabels`,
	},
	{
		id: "replicated-from-elsewhere", severity: Info, problem: "subscriptions are not published", fix: "make them on each database, or none",
		query: `SELECT quote_ident(subname) FROM pg_catalog.pg_subscription WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())`,
	},
}

func checkRelations(ctx context.Context, tx pgx.Tx, t target) (found []Finding, err error) {
	for _, c := range relationChecks {
		if t.Role == RoleFollower && !c.follower {
			continue
		}
		list, err := names(ctx, tx, c.query+" ORDER BY 1")
		if err != nil {
			return nil, fmt.Errorf("look for %s: %w", c.id, err)
		}
		if len(list) > 0 {
			found = append(found, Finding{c.id, c.severity, summary(list, 5), c.problem, c.fix})
		}
	}
	return found, nil
}
