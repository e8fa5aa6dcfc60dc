package postgres

import (
	"context"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/ddl"
)

// LendRights gives to the owners what they need to execute the steps of a post-data
// and do not have: CREATE and USAGE on the schemas of their tables, REFERENCES on
// the tables that their foreign keys point to, EXECUTE on the functions of their
// triggers. A source that is restored had them once, when they made these things;
// what it had when it was dumped need not be enough. ReturnRights takes them back.
//
// The pre-data must be loaded, and the session's role must own what it is about, or
// be a superuser.
func LendRights(ctx context.Context, tx pgx.Tx, steps []Step) error {
	var schemas, creators, tables, pointed, functions, callers []string
	for _, s := range steps {
		if m := createdName.FindStringSubmatch(s.Text); m != nil && s.Role() != "" && strings.HasPrefix(s.Text, "CREATE ") {
			schemas, creators = append(schemas, unquoteIdent(m[1])), append(creators, s.Role())
		}
		if s.References != "" {
			tables, pointed = append(tables, s.Table), append(pointed, s.References)
		}
		if f := ddl.TriggerFunction(s.Text); f != "" && s.Role() != "" {
			functions, callers = append(functions, f+"()"), append(callers, s.Role())
		}
	}
	_, err := tx.Exec(ctx, lendQuery, schemas, creators, tables, pointed, functions, callers)
	return wrapUnlessNil("lend rights to the owners of tables", err)
}

// ReturnRights takes back what LendRights gave. It does nothing when it is called
// again.
func ReturnRights(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "SELECT pgbridge.return_rights()")
	return wrapUnlessNil("take lent rights back", err)
}

// createdName finds the schema of what a CREATE statement makes: the first name of
// two parts after words in capitals.
var createdName = regexp.MustCompile(`^CREATE (?:[A-Z]+ )+([\pL_][\pL\pN_$]*|"(?:[^"]|"")+")\.`)

const lendQuery = `WITH creator (n, r) AS (
		SELECT c.relnamespace, c.relowner FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relkind IN ('r', 'p', 'm') AND ` + userSchema + `
		UNION SELECT n.oid, r.oid FROM unnest($1::text[], $2::text[]) s (schema, role)
			JOIN pg_catalog.pg_namespace n ON n.nspname = s.schema JOIN pg_catalog.pg_roles r ON r.rolname = s.role),
	lacking (privilege, class, object, role) AS (
		SELECT p, 'pg_catalog.pg_namespace'::pg_catalog.regclass, c.n, c.r FROM creator c CROSS JOIN unnest('{CREATE,USAGE}'::text[]) p
			WHERE NOT pg_catalog.has_schema_privilege(c.r, c.n, p)
		UNION SELECT 'REFERENCES', 'pg_catalog.pg_class'::pg_catalog.regclass, pg_catalog.to_regclass(s.pointed), c.relowner
			FROM unnest($3::text[], $4::text[]) s (name, pointed) JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(s.name)
			WHERE NOT pg_catalog.has_table_privilege(c.relowner, pg_catalog.to_regclass(s.pointed), 'REFERENCES')
		UNION SELECT 'EXECUTE', 'pg_catalog.pg_proc'::pg_catalog.regclass, pg_catalog.to_regprocedure(s.name), r.oid
			FROM unnest($5::text[], $6::text[]) s (name, role) JOIN pg_catalog.pg_roles r ON r.rolname = s.role
			WHERE NOT pg_catalog.has_function_privilege(r.oid, pg_catalog.to_regprocedure(s.name), 'EXECUTE'))
	SELECT pgbridge.lend(l.privilege, l.class, l.object, l.role) FROM lacking l JOIN pg_catalog.pg_roles r ON r.oid = l.role
		WHERE r.rolname <> current_user`
