package postgres

import "context"

// Scope says which tables a writer publishes.
type Scope string

// The scopes of pgbridge.database.
const (
	ScopeAll    Scope = "all"    // every table, also those made later
	ScopeListed Scope = "listed" // those chosen at init, until they are dropped
)

// WatchSchema makes the event triggers that put schema changes into the stream,
// where they are not there yet. They act only where pgbridge.database says that
// this is a writer. It returns false, and makes nothing, where the role is no
// superuser, who alone can make event triggers, or the owner of schema pgbridge is
// none, as whom they act: then a schema change at the source is not in the stream,
// and stops its peers.
func WatchSchema(ctx context.Context, q Querier) (bool, error) {
	var watched bool
	err := q.QueryRow(ctx, "SELECT pgbridge.watch_schema()").Scan(&watched)
	return watched, wrapUnlessNil("watch the schema", err)
}
