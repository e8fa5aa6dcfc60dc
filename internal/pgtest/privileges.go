package pgtest

import (
	"fmt"
	"strings"
	"testing"
)

// Privileges returns what each of the roles may do with each object of the database
// outside schema pgbridge, as has_table_privilege and its like say it, sorted: one
// line for each object and role that may do anything, where * is the right to grant
// it. Without roles it asks for all that are not predefined. It also has who owns
// what. Large objects are not in it.
//
//	table app.post owner alice
//	table app.post bob SELECT UPDATE*
func Privileges(t testing.TB, db *DB, roles ...string) string {
	t.Helper()
	const which = `SELECT oid, rolname FROM pg_catalog.pg_roles
		WHERE CASE WHEN cardinality($1::text[]) = 0 THEN left(rolname, 3) <> 'pg_' ELSE rolname = ANY ($1) END`
	if roles == nil {
		roles = []string{}
	}
	var queries []string
	for _, k := range privilegeKinds {
		if k.privileges == maintain && db.Value(t, "SELECT current_setting('server_version_num')::int >= 170000") == "t" {
			k.privileges += ",MAINTAIN"
		}
		queries = append(queries, fmt.Sprintf(`SELECT '%[1]s ' || o.name || ' owner ' || pg_get_userbyid(o.owner) FROM (%[2]s) o (oid, name, owner) WHERE o.owner IS NOT NULL
			UNION ALL SELECT '%[1]s ' || o.name || ' ' || r.rolname || ' ' || p.list FROM (%[2]s) o (oid, name, owner), role r, LATERAL (
				SELECT string_agg(p || CASE WHEN %[4]s(r.oid, %[5]s, p || ' WITH GRANT OPTION') THEN '*' ELSE '' END, ' ' ORDER BY p)
				FROM unnest('{%[3]s}'::text[]) p WHERE %[4]s(r.oid, %[5]s, p)) p (list) WHERE p.list IS NOT NULL`,
			k.kind, k.objects, k.privileges, k.function, k.arguments))
	}
	rows := db.Query(t, "WITH role AS ("+which+") SELECT line FROM ("+strings.Join(queries, " UNION ALL ")+`) l (line) ORDER BY line COLLATE "C"`, roles)
	var b strings.Builder
	for _, row := range rows {
		fmt.Fprintln(&b, row[0])
	}
	return b.String()
}

// maintain are the privileges that 17 has one more of.
const maintain = "SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER"

const (
	ofUser      = `left(n.nspname, 3) <> 'pg_' AND n.nspname NOT IN ('information_schema', 'pgbridge')`
	catalogToo  = `(` + ofUser + ` OR n.nspname = 'pg_catalog')`
	inNamespace = `JOIN pg_catalog.pg_namespace n ON n.oid = `
)

// privilegeKinds are the kinds of objects: how they are listed, as oid, name and
// owner (NULL where that of another line says it), and how to ask about them.
var privilegeKinds = []struct{ kind, objects, privileges, function, arguments string }{
	{
		"table", `SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relowner FROM pg_catalog.pg_class c ` + inNamespace + `c.relnamespace
			WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND ` + ofUser,
		maintain, "has_table_privilege", "o.oid",
	}, {
		"sequence", `SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relowner FROM pg_catalog.pg_class c ` + inNamespace + `c.relnamespace
			WHERE c.relkind = 'S' AND ` + ofUser,
		"USAGE,SELECT,UPDATE", "has_sequence_privilege", "o.oid",
	}, {
		"column", `SELECT ARRAY[c.oid::int8, a.attnum], format('%I.%I.%I', n.nspname, c.relname, a.attname), NULL::oid
			FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid ` + inNamespace + `c.relnamespace
			WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND ` + ofUser,
		"SELECT,INSERT,UPDATE,REFERENCES", "has_column_privilege", "o.oid[1]::oid, o.oid[2]::int2",
	}, {
		"function", `SELECT p.oid, p.oid::regprocedure::text, p.proowner FROM pg_catalog.pg_proc p ` + inNamespace + `p.pronamespace
			WHERE p.proacl IS NOT NULL AND ` + catalogToo + ` OR ` + ofUser,
		"EXECUTE", "has_function_privilege", "o.oid",
	}, {
		"schema", `SELECT n.oid, quote_ident(n.nspname), n.nspowner FROM pg_catalog.pg_namespace n WHERE ` + ofUser,
		"CREATE,USAGE", "has_schema_privilege", "o.oid",
	}, {
		"type", `SELECT t.oid, format('%I.%I', n.nspname, t.typname), t.typowner FROM pg_catalog.pg_type t ` + inNamespace + `t.typnamespace
			WHERE t.typcategory <> 'A' AND (t.typtype <> 'c' OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c')) AND ` + ofUser,
		"USAGE", "has_type_privilege", "o.oid",
	}, {
		"language", `SELECT l.oid, quote_ident(l.lanname), l.lanowner FROM pg_catalog.pg_language l`,
		"USAGE", "has_language_privilege", "o.oid",
	}, {
		"wrapper", `SELECT w.oid, quote_ident(w.fdwname), w.fdwowner FROM pg_catalog.pg_foreign_data_wrapper w`,
		"USAGE", "has_foreign_data_wrapper_privilege", "o.oid",
	}, {
		"server", `SELECT s.oid, quote_ident(s.srvname), s.srvowner FROM pg_catalog.pg_foreign_server s`,
		"USAGE", "has_server_privilege", "o.oid",
	},
}
