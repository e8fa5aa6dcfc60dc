package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
)

// runAsCall is how a statement is executed as a role of the application.
const runAsCall = "SELECT pgbridge.run_as($1::pg_catalog.name, $2::pg_catalog.text, $3::pg_catalog.text[], $4::pg_catalog.bool)"

// RunAsSQL is the query that executes a statement as a role. A comment before it says which
// statement: the server shows other sessions (pg_stat_activity) the text of a query, and
// not its parameters, which are role, statement, args and asks (sql/functions/runners.sql).
func RunAsSQL(role, statement string) string {
	return "/* as " + commented(action.QuoteIdent(role)+": "+statement) + " */ " + runAsCall
}

// shown bounds what is shown of a statement. Servers keep 1024 bytes of a query.
const shown = 400

// commented makes a text a part of a comment. A space stands on both sides of each star,
// so nothing in it begins or ends a comment.
func commented(text string) string {
	text = strings.ReplaceAll(text, "*", " * ")
	return firstRunes(strings.Join(strings.Fields(text), " "), shown)
}

// firstRunes cuts a text after n characters.
func firstRunes(text string, n int) string {
	for i := range text {
		if n--; n < 0 {
			return text[:i] + " ..."
		}
	}
	return text
}

// Activity is what a session of pgbridge does at this moment.
type Activity struct {
	// Statement is its text, on one line and not longer than a few hundred characters. It
	// has no value of a row.
	Statement string    `json:"statement"`
	Since     time.Time `json:"since"`
	// Waits is what the server says it waits for, as Lock or Timeout; empty: it works.
	Waits string `json:"waits,omitempty"`
}

// UnderWay lists the statements that the sessions of the service role, or of pgbridge in
// the role of q, execute in this database now, the oldest first.
func UnderWay(ctx context.Context, q Querier) ([]Activity, error) {
	const query = `SELECT a.query, a.query_start, CASE WHEN a.wait_event_type <> 'Client' THEN a.wait_event_type ELSE '' END
		FROM pg_catalog.pg_stat_activity a
		WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend' AND a.state = 'active'
			AND (a.usesysid = pgbridge.service_role() OR a.usename = current_user AND a.application_name = $1)
			AND a.query <> '' AND a.query_start IS NOT NULL
		ORDER BY a.query_start, a.pid`
	rows, err := q.Query(ctx, query, applicationName)
	if err != nil {
		return nil, fmt.Errorf("list what is under way: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a Activity, err error) {
		var waits *string
		if err = row.Scan(&a.Statement, &a.Since, &waits); waits != nil {
			a.Waits = *waits
		}
		a.Statement, a.Since = statementOf(a.Statement), a.Since.UTC()
		return a, err
	})
	return all, wrapUnlessNil("list what is under way", err)
}

// statementOf is the statement of a query: that which RunAsSQL was given, or the query.
func statementOf(query string) string {
	query = strings.Join(strings.Fields(query), " ")
	if named, ok := strings.CutPrefix(query, "/* as "); ok {
		if named, _, ok = strings.Cut(named, " */ "); ok {
			return "as " + named
		}
	}
	return firstRunes(query, shown)
}
