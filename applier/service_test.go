package applier

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/postgres"
)

// parish is a follower that is applied by a role that is no superuser. Schema work belongs
// to alice, schema b to bob; both are admitted.
type parish struct {
	*rig
	service, alice, bob string
}

// serviceRights are those of the cluster that the applier needs.
const serviceRights = `GRANT EXECUTE ON FUNCTION pg_replication_origin_create(text), pg_replication_origin_session_setup(text) TO %[1]s;
	GRANT pg_read_all_data, pg_write_all_data TO %[1]s;`

func newParish(t *testing.T, g ground, tables string) parish {
	t.Helper()
	n := rand.Uint32()
	p := parish{service: fmt.Sprintf("service_%d", n), alice: fmt.Sprintf("alice_%d", n), bob: fmt.Sprintf("bob_%d", n)}
	p.rig = g.rig(t, fmt.Sprintf("CREATE ROLE %s LOGIN BYPASSRLS; CREATE ROLE %s LOGIN; CREATE ROLE %s LOGIN", p.service, p.alice, p.bob))
	t.Cleanup(func() {
		for _, role := range []string{p.service, p.alice, p.bob} {
			p.db.Exec(t, "DROP OWNED BY "+role+" CASCADE; DROP ROLE "+role)
		}
	})
	p.exec(t, fmt.Sprintf(serviceRights, p.service))
	if err := postgres.SetServiceRole(t.Context(), p.connect(t), p.service); err != nil {
		t.Fatal(err)
	}
	if p.db.Cluster.Major() >= 15 {
		p.exec(t, "GRANT SET ON PARAMETER session_replication_role TO "+p.service)
	}
	p.exec(t, p.named(`ALTER SCHEMA work OWNER TO ALICE; DROP SCHEMA IF EXISTS b CASCADE; CREATE SCHEMA b AUTHORIZATION BOB;
		SELECT pgbridge.admit_author('ALICE'), pgbridge.admit_author('BOB')`))
	p.as(t, p.bob, "CREATE TABLE b.private (word text); INSERT INTO b.private VALUES ('word')")
	p.as(t, p.alice, "CREATE TABLE work.loot (what text, who name DEFAULT current_user); GRANT INSERT ON work.loot TO PUBLIC; GRANT USAGE ON SCHEMA work TO PUBLIC")
	p.as(t, p.alice, p.named(harm))
	p.as(t, p.alice, tables)
	return p
}

// named puts the names of the roles into SQL.
func (p parish) named(sql string) string {
	return strings.NewReplacer("SERVICE", p.service, "ALICE", p.alice, "BOB", p.bob).Replace(sql)
}

// as runs a script as a role.
func (p parish) as(t *testing.T, role, script string) {
	t.Helper()
	p.db.Exec(t, "SET SESSION AUTHORIZATION "+role+"; SET search_path = work; "+p.named(script))
}

// by is a statement of an author.
func (p parish) by(author, text string) deed {
	return statementUnder(p.named(text), `{"search_path":"work, public","role":"`+author+`"}`)
}

// targetAs begins as the service.
func (p parish) targetAs(t *testing.T) *target {
	t.Helper()
	conn := p.connectAs(t, p.service)
	if err := openSession(t.Context(), conn, p.writer); err != nil {
		t.Fatal(err)
	}
	return p.targetOn(t, conn)
}

// apply applies records as the service.
func (p parish) apply(t *testing.T, records ...opened) error {
	t.Helper()
	to := p.targetAs(t)
	err := to.apply(t.Context(), records)
	to.conn.Close(t.Context())
	p.db.Wait(t, "0", "SELECT count(*) FROM pg_stat_activity WHERE usename = $1", p.service)
	return err
}

// harm tries everything that its author must not be able to do, and writes down what it
// could; and that it ran at all, and as whom.
const harm = `
	CREATE FUNCTION work.harm() RETURNS int LANGUAGE plpgsql SET search_path = pg_catalog AS $$
	DECLARE
		attempt text;
	BEGIN
		INSERT INTO work.loot VALUES ('ran');
		FOREACH attempt IN ARRAY ARRAY[
			$a$COPY (SELECT 1) TO PROGRAM 'true'$a$, 'SET ROLE BOB', 'SET ROLE SERVICE', 'SET ROLE postgres', 'RESET ROLE', 'SET ROLE NONE',
			'SET SESSION AUTHORIZATION SERVICE', 'SET SESSION AUTHORIZATION postgres', 'RESET SESSION AUTHORIZATION',
			$a$SELECT set_config('role', 'none', false)$a$, $a$SELECT set_config('session_authorization', 'SERVICE', false)$a$,
			'SELECT FROM b.private', 'INSERT INTO b.private VALUES (1)', 'SELECT secret FROM pgbridge.secret',
			'UPDATE pgbridge.progress SET seq = seq + 1', $a$SELECT pgbridge.run_as('BOB', 'SELECT 1', '{}', false)$a$,
			$a$SELECT pgbridge.admit_author('pg_monitor')$a$, $a$SELECT pgbridge.replica_role('origin')$a$, 'ALTER ROLE ALICE SUPERUSER',
			'SET session_replication_role = origin', 'CREATE SCHEMA stolen', 'SELECT pg_replication_origin_session_reset()']
		LOOP
			BEGIN
				EXECUTE attempt;
				INSERT INTO work.loot VALUES (attempt);
			EXCEPTION WHEN OTHERS THEN
			END;
		END LOOP;
		RETURN 1;
	END $$;
	CREATE FUNCTION work.evil(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM work.harm(); RETURN $1; END';
	CREATE FUNCTION work.evil(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM work.harm(); RETURN true; END';
	CREATE FUNCTION work.evil_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM work.harm(); RETURN NEW; END';
	TRUNCATE work.loot`

// requireHarmless fails if harm did any, or, where it is to have run, did not.
func (p parish) requireHarmless(t *testing.T, ran bool) {
	t.Helper()
	want := ""
	if ran {
		want = "(ran," + p.alice + ")"
	}
	if got := p.rows(t, "SELECT DISTINCT what, who::text FROM work.loot"); got != want {
		t.Errorf("code of a user: got %s, want %q", got, want)
	}
	p.exec(t, "TRUNCATE loot")
}

func (p parish) connectAs(t *testing.T, role string) *pgx.Conn {
	t.Helper()
	conn, err := postgres.Connect(t.Context(), p.db.URLAs(role))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// ask executes a query that answers one text.
func ask(t *testing.T, conn *pgx.Conn, query string) (text string, err error) {
	t.Helper()
	err = conn.QueryRow(t.Context(), query).Scan(&text)
	return text, err
}

// rowsAs are those of a query that a role executes: who reads a table may run its code.
func (p parish) rowsAs(t *testing.T, role, query string) string {
	t.Helper()
	rows, err := ask(t, p.connectAs(t, role), "SELECT coalesce(string_agg(q::text, ' '), '') FROM ("+query+") q")
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
