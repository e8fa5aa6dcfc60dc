package integration

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// What an administrator may set for a database or a role, and what would ruin
// values, names or long work if pgbridge did not pin its own settings. Two of
// each: the two sides disagree.
var hostile = []struct{ name, here, there string }{
	{"datestyle", "'SQL, DMY'", "'German, YMD'"},
	{"intervalstyle", "iso_8601", "sql_standard"},
	{"timezone", "'America/St_Johns'", "'Asia/Kathmandu'"},
	{"extra_float_digits", "-15", "0"},
	{"bytea_output", "escape", "hex"},
	{"lc_monetary", "'C.UTF-8'", "'C'"},
	{"lc_numeric", "'C'", "'C.UTF-8'"},
	{"xmloption", "document", "content"},
	{"xmlbinary", "hex", "base64"},
	{"search_path", "'evil, pg_catalog, zoo'", "'nowhere'"},
	{"standard_conforming_strings", "off", "on"},
	{"backslash_quote", "off", "on"},
	{"escape_string_warning", "off", "on"},
	{"quote_all_identifiers", "on", "off"},
	{"array_nulls", "off", "off"},
	{"transform_null_equals", "on", "on"},
	{"row_security", "on", "on"},
	{"check_function_bodies", "on", "off"},
	{"default_transaction_isolation", "serializable", "'repeatable read'"},
	{"default_transaction_read_only", "on", "on"},
	{"default_transaction_deferrable", "on", "off"},
	{"statement_timeout", "'40ms'", "'30ms'"},
	{"lock_timeout", "'1ms'", "'1ms'"},
	{"idle_in_transaction_session_timeout", "'10ms'", "'10ms'"},
	{"idle_session_timeout", "'20ms'", "'20ms'"},
	{"client_encoding", "latin1", "win1252"},
	{"client_min_messages", "debug1", "error"},
	{"synchronous_commit", "on", "off"},
	{"default_text_search_config", "'pg_catalog.german'", "'pg_catalog.simple'"},
	{"default_toast_compression", "pglz", "pglz"},
	{"session_replication_role", "origin", "local"},
	{"plan_cache_mode", "force_custom_plan", "force_generic_plan"},
	{"enable_indexscan", "off", "on"},
	{"constraint_exclusion", "on", "off"},
	{"work_mem", "'64kB'", "'64kB'"},
	{"exit_on_error", "off", "on"},
	{"lo_compat_privileges", "on", "off"},
	{"synchronize_seqscans", "on", "off"},
}

// beset sets hostile settings for pgbridge's sessions in db, by database and by
// role, and returns the URL under which pgbridge connects.
func beset(t *testing.T, db *pgtest.DB, role string, there bool) (url string) {
	t.Helper()
	var sql string
	for i, h := range hostile {
		value := h.here
		if there {
			value = h.there
		}
		whom := fmt.Sprintf("ROLE %s IN DATABASE %q", role, db.Name)
		if i%2 == 0 {
			whom = "ROLE " + role
		}
		sql += fmt.Sprintf("ALTER %s SET %s = %s;\n", whom, h.name, value)
	}
	db.Exec(t, sql)
	return db.URLAs(role)
}

// hostileRole makes a role that lives longer than the databases that are made
// after it, in which it owns things.
func hostileRole(t *testing.T) string {
	t.Helper()
	role := fmt.Sprintf("hostile_%d", rand.Uint32())
	admin := pgtest.New(t)
	admin.Exec(t, "CREATE ROLE "+role+" SUPERUSER LOGIN")
	t.Cleanup(func() { admin.Exec(t, "DROP ROLE "+role) })
	return role
}

// Values mean the same whatever sessions are set to.
func TestZooUnderHostileSettings(t *testing.T) {
	t.Parallel()
	here, there := hostileRole(t), hostileRole(t)
	source, follower, restored := pgtest.New(t), pgtest.New(t), pgtest.New(t)
	// What would stand in for the built-in functions and operators, if a
	// session looked in its search_path first.
	for _, db := range []*pgtest.DB{source} {
		db.Exec(t, `CREATE SCHEMA evil;
			CREATE FUNCTION evil.format_type(oid, int) RETURNS text LANGUAGE sql AS $$ SELECT 'evil' $$;
			CREATE FUNCTION evil.is_same(int, int) RETURNS bool LANGUAGE sql AS $$ SELECT false $$;
			CREATE FUNCTION evil.is_same(text, text) RETURNS bool LANGUAGE sql AS $$ SELECT false $$;
			CREATE OPERATOR evil.= (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.is_same);
			CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.is_same);
			CREATE TABLE evil.pg_class (relname text PRIMARY KEY); INSERT INTO evil.pg_class VALUES ('not the catalogue')`)
	}
	exhibits := stockZoo(t, source)
	p := newPipeAs(t, source, beset(t, source, here, false))
	publishing, following := p.publish(t), p.followAs(t, beset(t, follower, there, true))
	liveInZoo(t, source, exhibits)
	p.caughtUp(t, follower, publishing, following)
	want := pgtest.Dump(t, source)
	pgtest.RequireEqual(t, pgtest.Dump(t, follower), want)
	p.restoreTo(t, beset(t, restored, here, true))
	pgtest.RequireEqual(t, pgtest.Dump(t, restored), want)
}
