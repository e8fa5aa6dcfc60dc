package pgtest

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// DropRole drops a role, and what it owns and may do in every database of the server.
func (db *DB) DropRole(t testing.TB, role string) {
	t.Helper()
	name := pgx.Identifier{role}.Sanitize()
	const databases = `SELECT d.datname FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid AND s.refclassid = 'pg_authid'::regclass
		JOIN pg_database d ON d.oid = s.dbid WHERE r.rolname = $1 GROUP BY 1`
	for _, row := range db.Query(t, databases, role) {
		db.Cluster.exec(t, row[0], "DROP OWNED BY "+name+" CASCADE")
	}
	db.Exec(t, "DROP OWNED BY "+name+"; DROP ROLE "+name)
}
