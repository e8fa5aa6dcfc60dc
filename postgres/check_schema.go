package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// watchFacts are what the checks of the event triggers look at.
type watchFacts struct {
	superuser bool
	off       bool     // event_triggers, a setting since 17
	before    []string // event triggers of others that come before pgbridge's
}

// checkSchema looks whether schema changes get into the stream.
func checkSchema(ctx context.Context, tx pgx.Tx, t target) ([]Finding, error) {
	var f watchFacts
	err := tx.QueryRow(ctx, `SELECT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user),
			coalesce(current_setting('event_triggers', true), 'on') = 'off'`).Scan(&f.superuser, &f.off)
	if err != nil {
		return nil, fmt.Errorf("look at the event triggers: %w", err)
	}
	f.before, err = names(ctx, tx, `SELECT quote_ident(evtname) FROM pg_catalog.pg_event_trigger
		WHERE evtevent = 'ddl_command_end' AND evtname COLLATE "C" < 'pgbridge_ddl' AND evtname !~ '^pgbridge_' AND evtenabled <> 'D' ORDER BY 1`)
	if err != nil {
		return nil, fmt.Errorf("look at the event triggers: %w", err)
	}
	return assessWatch(t, f), nil
}

// isWatched tells whether the event triggers are there, and enabled.
func isWatched(ctx context.Context, tx pgx.Tx) (watched bool, err error) {
	err = tx.QueryRow(ctx, `SELECT count(*) = 7 FROM pg_catalog.pg_event_trigger WHERE evtenabled IN ('O', 'A') AND evtname IN
		('pgbridge_extension', 'pgbridge_rights', 'pgbridge_caller', 'pgbridge_caller_drop', 'pgbridge_rewrite', 'pgbridge_drop', 'pgbridge_ddl')`).Scan(&watched)
	return watched, wrapUnlessNil("look at the event triggers", err)
}

func assessWatch(t target, f watchFacts) (found []Finding) {
	add := func(id, subject, problem, fix string) {
		found = append(found, Finding{id, Warning, subject, problem, fix})
	}
	const lost = "a schema change is not in the stream, and stops those who follow"
	switch {
	case t.publishes() && !t.watched:
		add("schema-changes", "database "+t.name, "the event triggers of pgbridge are not there, or disabled: "+lost, "pgbridge init, as a superuser, with the same --name, where schema pgbridge belongs to one")
	case !t.publishes() && !f.superuser:
		add("schema-changes", "role "+t.user, "it is no superuser, and cannot make event triggers: "+lost, "pgbridge init as a superuser")
	}
	if f.off {
		add("event-triggers-off", "event_triggers", "it is off: "+lost, "ALTER SYSTEM RESET event_triggers; SELECT pg_reload_conf()")
	}
	if len(f.before) > 0 {
		add("event-triggers-first", summary(f.before, 5), "it fires before those of pgbridge: if it changes the schema, that comes before the statement that it fired for",
			"ALTER EVENT TRIGGER … RENAME TO a name after pgbridge_ddl")
	}
	return found
}
