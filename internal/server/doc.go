// Package server runs throw-away Postgres servers on this machine, from
// binaries or in containers: for the tests (internal/pgtest) and for pgbridge
// demo. A server's superuser is "postgres", and it trusts every connection, so
// it listens on 127.0.0.1 only.
//
// No process and no file outlives the process that started them, even if that
// one is killed: see Reaper.
package server
