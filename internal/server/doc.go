// Package server runs throw-away Postgres servers on this machine, from
// binaries or in containers: for the tests (internal/pgtest) and for pgbridge
// demo and drill. A server's superuser is "postgres"; it listens on 127.0.0.1
// only, for unless its Source has a password it trusts every connection.
//
// A server gets nothing of the environment of this process but PATH and where
// libraries are. Who runs code of others in one wants Source.Apart, too.
//
// No process and no file outlives the process that started them, even if that
// one is killed: see Reaper.
package server
