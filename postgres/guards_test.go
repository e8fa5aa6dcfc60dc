package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// follower is a database with a service role that has all that it needs to follow.
func follower(t *testing.T) (db *pgtest.DB, admin *pgx.Conn, service string) {
	t.Helper()
	db, admin = migrated(t)
	service = newRole(t, admin, "LOGIN")
	server, err := LoadServer(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := MakeRole(t.Context(), admin, service, "", Grants(server, db.Name, service, RoleFollower)); err != nil {
		t.Fatal(err)
	}
	if err := SetServiceRole(t.Context(), admin, service); err != nil {
		t.Fatal(err)
	}
	return db, admin, service
}

// refused tells whether the server refuses a statement for want of a right. The statement
// leaves nothing.
func refused(t *testing.T, conn *pgx.Conn, statement string) bool {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = tx.Exec(t.Context(), statement)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "42501"
}

// write is a statement that writes to a relation of schema pgbridge, and whether the service
// role has a grant for it.
type write struct {
	Statement string
	Granted   bool
}

// writes are all kinds of writes to all tables of the schema, and to views that take writes,
// column by column.
func writes(t *testing.T, conn *pgx.Conn, service string) []write {
	t.Helper()
	rows, err := conn.Query(t.Context(), `WITH held AS (
			SELECT c.oid, c.relkind, c.relacl, a.attname, a.attacl FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
			WHERE c.relnamespace = 'pgbridge'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
				AND (c.relkind IN ('r', 'p') OR c.relkind = 'v' AND pg_column_is_updatable(c.oid, a.attnum, true)))
		SELECT DISTINCT format(w.statement, h.oid::regclass, h.attname), EXISTS (
			SELECT FROM aclexplode(h.relacl || CASE w.kind WHEN 'UPDATE' THEN h.attacl END) a
			WHERE a.grantee = $1::text::regrole AND a.privilege_type = w.kind)
		FROM held h, (VALUES ('INSERT', 'INSERT INTO %s DEFAULT VALUES'), ('UPDATE', 'UPDATE %s SET %I = DEFAULT'),
			('DELETE', 'DELETE FROM %s'), ('TRUNCATE', 'TRUNCATE %s')) AS w (kind, statement)
		WHERE h.relkind <> 'v' OR w.kind <> 'TRUNCATE'`, action.QuoteIdent(service))
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[write])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The service role of a peer may write to every table of the database; to those of schema
// pgbridge only what is granted to it.
func TestServiceWritesWhatIsGranted(t *testing.T) {
	t.Parallel()
	db, admin, service := follower(t)
	conn := connect(t, db.URLAs(service))
	for _, mode := range []string{"replica", "origin"} {
		mustExec(t, conn, "SELECT pgbridge.replica_role($1)", mode)
		all := writes(t, admin, service)
		for _, w := range all {
			if got := refused(t, conn, w.Statement); got == w.Granted {
				t.Errorf("%s as the service role, %s: refused %v, granted %v", w.Statement, mode, got, w.Granted)
			}
			if refused(t, admin, w.Statement) {
				t.Errorf("%s: refused to the owner", w.Statement)
			}
		}
		for _, want := range []write{
			{"INSERT INTO pgbridge.author DEFAULT VALUES", false},
			{"UPDATE pgbridge.database SET stage = DEFAULT", true},
			{"UPDATE pgbridge.database SET role = DEFAULT", false},
			{"DELETE FROM pgbridge.outbox", true},
		} {
			if !slices.Contains(all, want) {
				t.Errorf("the writes lack %+v", want)
			}
		}
	}
	for _, statement := range []string{
		"COPY pgbridge.author FROM STDIN",
		"UPDATE pgbridge.database SET stage = 'ready', name = 'other'",
		"WITH w AS (INSERT INTO pgbridge.lent DEFAULT VALUES) SELECT",
		"INSERT INTO pgbridge.chain AS c SELECT * FROM pgbridge.chain ON CONFLICT (writer) DO UPDATE SET seq = 1",
	} {
		if !refused(t, conn, statement) {
			t.Errorf("%s: not refused", statement)
		}
	}
}

// A guard refuses who has no more than pg_write_all_data.
func TestWhoPassesGuards(t *testing.T) {
	t.Parallel()
	db, admin := newDatabase(t)
	owner, member, granted, public, other := newRole(t, admin, "LOGIN"), newRole(t, admin, "LOGIN"), newRole(t, admin, "LOGIN"),
		newRole(t, admin, "LOGIN"), newRole(t, admin, "LOGIN")
	mustExec(t, admin, fmt.Sprintf("GRANT CREATE ON DATABASE %s TO %s", action.QuoteIdent(db.Name), action.QuoteIdent(owner)))
	conn := connect(t, db.URLAs(owner))
	if err := Install(t.Context(), conn); err != nil { // as where nobody is a superuser
		t.Fatal(err)
	}
	for _, r := range []string{member, granted, other} {
		mustExec(t, admin, "GRANT pg_write_all_data TO "+action.QuoteIdent(r))
	}
	mustExec(t, admin, fmt.Sprintf(`GRANT %s TO %s; GRANT INSERT ON pgbridge.imported TO %s`,
		action.QuoteIdent(owner), action.QuoteIdent(member), action.QuoteIdent(granted)))
	mustExec(t, admin, "GRANT UPDATE ON pgbridge.imported TO PUBLIC; GRANT USAGE ON SCHEMA pgbridge TO "+action.QuoteIdent(public))
	for _, c := range []struct {
		role    string
		allowed string
	}{
		{"postgres", "INSERT UPDATE DELETE"},
		{owner, "INSERT UPDATE DELETE"},
		{member, "INSERT UPDATE DELETE"},
		{granted, "INSERT UPDATE"},
		{other, "UPDATE"},
		{public, "UPDATE"},
	} {
		conn := connect(t, db.URLAs(c.role))
		var allowed []string
		for _, statement := range []string{
			"INSERT INTO pgbridge.imported (source, id) VALUES ('a', 'b')", "UPDATE pgbridge.imported SET at = now()",
			"DELETE FROM pgbridge.imported",
		} {
			if !refused(t, conn, statement) {
				kind, _, _ := strings.Cut(statement, " ")
				allowed = append(allowed, kind)
			}
		}
		if got := strings.Join(allowed, " "); got != c.allowed {
			t.Errorf("role %s may %s, want %s", c.role, got, c.allowed)
		}
	}
}

// Guards that are as they should be stay: to make them waits for those who write.
func TestGuardsAreMadeOnce(t *testing.T) {
	t.Parallel()
	db, admin, _ := follower(t)
	const guards = "SELECT coalesce(string_agg(concat(oid, tgrelid::regclass), ' ' ORDER BY oid), '') FROM pg_trigger WHERE tgname = 'guard'"
	before := queryText(t, admin, guards)
	writer := connect(t, db.URL())
	tx, err := writer.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, tx, "LOCK TABLE pgbridge.author, pgbridge.progress, pgbridge.database IN ROW EXCLUSIVE MODE")
	mustExec(t, admin, "SET lock_timeout = '10s'; SELECT pgbridge.settle_rights(); RESET lock_timeout")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := queryText(t, admin, guards); after != before || before == "" {
		t.Errorf("made anew: got %s, had %s", after, before)
	}
	// What was taken away or changed comes back, and what is not to be goes.
	mustExec(t, admin, `DROP TRIGGER guard ON pgbridge.author; ALTER TABLE pgbridge.lent DISABLE TRIGGER guard;
		DROP TRIGGER guard ON pgbridge.database;
		CREATE TRIGGER guard BEFORE INSERT ON pgbridge.database FOR EACH STATEMENT EXECUTE FUNCTION pgbridge.refuse_write();
		CREATE TRIGGER guard BEFORE INSERT ON pgbridge.fingerprint FOR EACH STATEMENT EXECUTE FUNCTION pgbridge.refuse_write();
		SELECT pgbridge.settle_rights()`)
	const same = `SELECT string_agg(g.relation::regclass::text, ', ') FROM pgbridge.guards() g LEFT JOIN pg_trigger t ON t.tgrelid = g.relation AND t.tgname = 'guard'
		WHERE g.definition IS DISTINCT FROM pg_get_triggerdef(t.oid) OR t.tgenabled <> 'A'`
	if got := queryText(t, admin, "SELECT coalesce(("+same+"), '')"); got != "" {
		t.Errorf("not as they should be: %s", got)
	}
	if got := queryText(t, admin, "SELECT count(*)::text FROM pg_trigger WHERE tgrelid = 'pgbridge.fingerprint'::regclass"); got != "0" {
		t.Errorf("fingerprint has %s triggers, want none: the service writes it all the time", got)
	}
}
