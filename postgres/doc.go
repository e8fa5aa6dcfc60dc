// Package postgres is what pgbridge knows of an ordinary connection to Postgres: the
// session settings that keep values the server's own text, the schema pgbridge
// with its migrations and state, the catalogue, the publication, the checks
// before anything is changed, the schema as pg_dump writes it, and the reading
// of existing rows.
//
// The package never starts a goroutine, never retries and never logs. It takes
// no decision either: what to do about a Finding, a missing slot or a stale
// publication is the caller's. Supported are Postgres 14 to 18.
package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Querier is a connection or a transaction. What a function of this package
// writes through it is durable when the transaction around it is, or at once
// where there is none.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}
