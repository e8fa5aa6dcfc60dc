// Package pgtest gives tests real Postgres servers: one shared server per test
// package with a fresh database per test, own servers for tests that stop,
// kill or copy one, and the oracle of every such test, a dump of what a
// database holds.
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
//	func TestSomething(t *testing.T) {
//		a, b := pgtest.New(t), pgtest.New(t)
//		a.Exec(t, `CREATE TABLE post (id int PRIMARY KEY)`)
//		…
//		pgtest.RequireEqual(t, pgtest.Dump(t, b), pgtest.Dump(t, a))
//	}
//
// Where a server comes from, in this order:
//
//  1. PGBRIDGE_SERVER_BINDIR: the folder with postgres and initdb;
//  2. a container of PGBRIDGE_SERVER_IMAGE (default postgres:17), through
//     testcontainers-go, when a Docker engine answers;
//  3. server binaries: PATH, then the newest /usr/lib/postgresql/*/bin.
//
// PGBRIDGE_SERVER=docker or =binaries takes the other way away. A
// machine with neither fails the tests and says what to install: nothing is
// ever skipped.
//
// Clients (psql, pg_dump, pgbench) come from PGBRIDGE_SERVER_CLIENTDIR or, of
// those beside the server, in /usr/lib/postgresql and in PATH, the ones whose
// version is nearest to the server's and not older.
//
// No process and no file outlives the test process, even if it panics, times
// out or is killed: see server.Reaper.
package pgtest
