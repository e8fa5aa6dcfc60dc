package applier

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// One session at a time applies the records of a writer, whatever its role may do.
func TestSession(t *testing.T) {
	role := fmt.Sprintf("plain_%d", rand.Uint32())
	r := newRig(t, "CREATE ROLE "+role+" LOGIN; GRANT USAGE ON SCHEMA pgbridge TO "+role+"; GRANT ALL ON ALL TABLES IN SCHEMA pgbridge TO "+role+
		"; GRANT EXECUTE ON FUNCTION pgbridge.take_lock TO "+role)
	t.Cleanup(func() { r.db.Exec(t, "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	open := func(as string, w byte) (*pgx.Conn, error) {
		conn, err := postgres.Connect(t.Context(), r.db.URLAs(as))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(context.Background()) })
		return conn, openSession(t.Context(), conn, action.Writer{w})
	}
	refused := func(as string, w byte, want string) {
		t.Helper()
		if _, err := open(as, w); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("as %s: got %v, want it to say %q", as, err, want)
		}
	}

	conn, err := open("postgres", 1)
	if err != nil {
		t.Fatal(err)
	}
	var settings string
	err = conn.QueryRow(t.Context(), "SELECT current_setting('session_replication_role') || ' ' || current_setting('synchronous_commit') || ' ' || pg_replication_origin_session_is_setup()").Scan(&settings)
	if err != nil || settings != "replica off true" {
		t.Errorf("got %q, %v, want replica, commits that do not wait, an origin", settings, err)
	}
	refused("postgres", 1, "is another pgbridge run at work")
	if _, err := open("postgres", 2); err != nil {
		t.Errorf("another writer: %v", err)
	}

	refused(role, 3, "GRANT SET ON PARAMETER session_replication_role")
	if r.db.Cluster.Major() < 15 {
		return // there only a superuser can
	}
	r.db.Exec(t, "GRANT SET ON PARAMETER session_replication_role TO "+role)
	if conn, err = open(role, 3); err != nil {
		t.Fatal(err)
	}
	refused(role, 3, "is another pgbridge run at work")
	conn.Close(t.Context())
	r.db.Wait(t, "0", "SELECT count(*) FROM pgbridge.session_lock WHERE name LIKE 'apply %' AND pgbridge.is_alive(pid, backend_start)")
	if _, err := open(role, 3); err != nil {
		t.Errorf("after the first is gone: %v", err)
	}
	r.db.Exec(t, `INSERT INTO pgbridge.chain (writer, epoch, seq, digest, end_lsn, clock, system, timeline) VALUES (repeat('1', 64), 1, 1, repeat('1', 64), '0/1', '0.0', '1', 1)`)
	refused(role, 4, "GRANT EXECUTE ON FUNCTION pg_replication_origin_create")
}
