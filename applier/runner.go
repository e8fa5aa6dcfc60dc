package applier

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// runners execute statements as roles of the application (pgbridge.run_as): what the
// statement does, and code that it calls, has the rights of that role and no others.
//
// Such code shares the session. So after each statement everything that it may have left
// is taken away: settings, cursors (one WITH HOLD is executed at the commit), temporary
// objects, prepared statements, subscriptions to notifications. Deferred triggers that it
// has queued are run as the same role, and nothing of them may be left at the commit.
type runners struct {
	conn *pgx.Conn
	// user is the role of the session; empty until read.
	user      string
	superuser bool
	// apart: the role owns nothing but what has no author (rather than schema pgbridge).
	apart bool
	// replicaSQL is how the session sets session_replication_role to replica; empty until
	// read.
	replicaSQL string

	// last is the role whose code ran last in the transaction, and may have queued
	// deferred triggers. Empty: no code of a user ran.
	last string
}

// ErrRole: a statement of the stream cannot run here as the role that it should.
var ErrRole = errors.New("a role of the stream is not ready here")

// begin forgets what the transaction before has done.
func (r *runners) begin() { r.last = "" }

// know reads what the role of the session is.
func (r *runners) know(ctx context.Context) error {
	if r.user != "" {
		return nil
	}
	const query = `SELECT r.rolname::text, r.rolsuper, r.oid <> n.nspowner
		FROM pg_catalog.pg_roles r, pg_catalog.pg_namespace n WHERE r.rolname = session_user AND n.nspname = 'pgbridge'`
	if err := r.conn.QueryRow(ctx, query).Scan(&r.user, &r.superuser, &r.apart); err != nil {
		return fmt.Errorf("look up the role of the session: %w", err)
	}
	return nil
}

// refuseAuthor returns ErrRole for an author who has the name of the role of the session,
// which owns here what superusers made at the source: nobody is to have its rights by name.
func (r *runners) refuseAuthor(ctx context.Context, author string) error {
	if err := r.know(ctx); err != nil || author != r.user || r.superuser || !r.apart {
		return err
	}
	return fmt.Errorf("%w: role %s of the source has the name of the role as which this service works: run pgbridge init here with another --role", ErrRole, action.QuoteIdent(author))
}

// direct tells whether a statement that is to run as a role runs as the role of the
// session: it is that role, or both are superusers.
func (r *runners) direct(ctx context.Context, role string) (bool, error) {
	if err := r.know(ctx); err != nil {
		return false, err
	}
	if role == "" || role == r.user || !r.superuser {
		return role == "" || role == r.user, nil
	}
	return r.isSuperuser(ctx, role)
}

func (r *runners) isSuperuser(ctx context.Context, role string) (super bool, err error) {
	err = r.conn.QueryRow(ctx, "SELECT coalesce((SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = $1), false)", role).Scan(&super)
	if err != nil {
		return false, fmt.Errorf("look up role %s: %w", role, err)
	}
	return super, nil
}

// prepareCall sets what holds during the call of a function as a role: the mode of triggers
// (session_replication_role), a limit of time, and where names are looked for. What comes
// after the call puts it back.
func (r *runners) prepareCall(ctx context.Context, role, mode, path string) error {
	if err := r.know(ctx); err != nil {
		return err
	}
	if role == "" {
		role = r.user
	}
	if r.last != "" && r.last != role {
		if err := r.runDeferred(ctx); err != nil {
			return err
		}
	}
	set := "set_config('session_replication_role', $1, false)"
	if replica, err := r.replica(ctx); err != nil {
		return err
	} else if replica == byFunction {
		set = "pgbridge.replica_role($1)"
	}
	_, err := r.conn.Exec(ctx, "SELECT "+set+", set_config('statement_timeout', $2, true), set_config('search_path', $3, true)", mode, callTimeout, path)
	return err
}

// replica is how the session sets session_replication_role to replica.
func (r *runners) replica(ctx context.Context) (sql string, err error) {
	if r.replicaSQL == "" {
		r.replicaSQL, err = replicaSQL(ctx, r.conn)
	}
	return r.replicaSQL, err
}

// run executes a statement as a role and returns how many rows it touched. args is a
// text[] in binary form, which the statement knows as $1; nil is an empty one.
func (r *runners) run(ctx context.Context, role, statement string, args []byte) (int64, error) {
	answer, err := r.exec(ctx, role, statement, args, false)
	if err != nil {
		return 0, err
	}
	var n int64
	if _, err := fmt.Sscan(answer, &n); err != nil {
		return 0, fmt.Errorf("the runner of %s answered %q, not a number", role, answer)
	}
	return n, nil
}

// ask executes a query as a role and returns the one text that it answers.
func (r *runners) ask(ctx context.Context, role, query string, args []byte) (string, error) {
	return r.exec(ctx, role, query, args, true)
}

func (r *runners) exec(ctx context.Context, role, statement string, args []byte, asks bool) (string, error) {
	if r.last != "" && r.last != role {
		if err := r.runDeferred(ctx); err != nil {
			return "", err
		}
	}
	r.last = role
	answer, err := r.call(ctx, role, statement, args, asks)
	if err != nil {
		return "", err
	}
	return answer, r.clean(ctx)
}

// call calls the runner. What it left in the session is still there afterwards.
func (r *runners) call(ctx context.Context, role, statement string, args []byte, asks bool) (string, error) {
	if args == nil {
		args = appendTextMatrix(nil, nil, nil, nil)
	}
	flag := "f"
	if asks {
		flag = "t"
	}
	params := [][]byte{[]byte(role), []byte(statement), args, []byte(flag)}
	result := r.conn.PgConn().ExecParams(ctx, postgres.RunAsSQL(role, statement), params, nil, []int16{0, 0, 1, 0}, nil).Read()
	switch {
	case result.Err != nil:
		return "", fmt.Errorf("as %s: %w", action.QuoteIdent(role), roleError(role, result.Err))
	case len(result.Rows) != 1 || result.Rows[0][0] == nil:
		return "", fmt.Errorf("the runner of %s did not answer", role)
	}
	return string(result.Rows[0][0]), nil
}

// roleError marks the error of pgbridge.author_fault, and says what to do. The server's own
// words may be withheld: code of a user could have raised the same.
func roleError(role string, err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "0P000" {
		return fmt.Errorf("%w: an administrator has to make it, if it is not here (CREATE ROLE %s), and to admit it (SELECT pgbridge.admit_author('%s')): %w",
			ErrRole, action.QuoteIdent(role), strings.ReplaceAll(role, "'", "''"), err)
	}
	return err
}

// clean takes away what code of a user may have left in the session.
func (r *runners) clean(ctx context.Context) error {
	replica, err := r.replica(ctx)
	if err != nil {
		return err
	}
	// The last statement finds what was prepared by SQL: it may have the name of one of
	// this session's own.
	sql := postgres.Repin(r.conn.PgConn()) + "; CLOSE ALL; DISCARD TEMP; UNLISTEN *; " + replica + "; " + noWait +
		"; SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql LIMIT 1"
	results, err := r.conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		return fmt.Errorf("restore the session: %w", err)
	}
	if len(results[len(results)-1].Rows) == 0 {
		return nil
	}
	if err := r.conn.DeallocateAll(ctx); err != nil {
		return fmt.Errorf("forget statements: %w", err)
	}
	return nil
}

// own executes a statement that has no author as the role of the session. At its origin a
// superuser ran it, so for its time the role may make something in each schema.
func (r *runners) own(ctx context.Context, statement string) error {
	if !r.superuser {
		if _, err := r.conn.Exec(ctx, "SELECT pgbridge.lend_schemas()"); err != nil {
			return fmt.Errorf("lend schemas: %w", err)
		}
	}
	// The extended protocol takes one statement and no more.
	if _, err := r.conn.PgConn().ExecParams(ctx, statement, nil, nil, nil, nil).Close(); err != nil {
		return err
	}
	if err := r.ran(ctx); err != nil || r.superuser {
		return err
	}
	_, err := r.conn.Exec(ctx, "SELECT pgbridge.return_rights()")
	if err != nil {
		return fmt.Errorf("take lent schemas back: %w", err)
	}
	return nil
}

// ran notes that code of users ran as the role of the session itself: that of a
// statement without a role. What it may have left is taken away.
func (r *runners) ran(ctx context.Context) error {
	if err := r.know(ctx); err != nil {
		return err
	}
	if r.last == "" {
		r.last = r.user
	}
	return r.clean(ctx)
}

// touched tells whether the transaction has touched a table with deferrable triggers
// that run code of users.
func (r *runners) touched(ctx context.Context) (bool, error) {
	var touched bool
	err := r.conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pgbridge.deferrable_touched())").Scan(&touched)
	if err != nil {
		return false, fmt.Errorf("look for deferred triggers: %w", err)
	}
	return touched, nil
}

// runDeferred runs deferred triggers with code of users before that of another role
// runs. Those that are queued later wait again.
func (r *runners) runDeferred(ctx context.Context) error {
	touched, err := r.touched(ctx)
	if err != nil || !touched {
		return err
	}
	if err := r.constraints(ctx, "IMMEDIATE"); err != nil {
		return err
	}
	return r.constraints(ctx, "DEFERRED")
}

// finish makes sure, before the commit, that no code of a user is left to run there.
func (r *runners) finish(ctx context.Context) error {
	if r.last == "" {
		return nil
	}
	touched, err := r.touched(ctx)
	if err != nil || !touched {
		return err
	}
	if err := r.constraints(ctx, "IMMEDIATE"); err != nil {
		return err
	}
	if _, err := r.conn.Exec(ctx, "SELECT pgbridge.refuse_pending()"); err != nil {
		return fmt.Errorf("deferred triggers: %w", err)
	}
	return nil
}

// constraints checks deferred constraints, and runs deferred triggers, as the role whose
// code ran last: now (IMMEDIATE), or from here on at the end (DEFERRED).
func (r *runners) constraints(ctx context.Context, mode string) error {
	statement := "SET CONSTRAINTS ALL " + mode
	direct, err := r.direct(ctx, r.last)
	if err != nil {
		return err
	}
	if direct {
		if _, err = r.conn.Exec(ctx, statement); err == nil && r.last != "" {
			err = r.clean(ctx)
		}
	} else if _, err = r.call(ctx, r.last, statement, nil, false); err == nil {
		err = r.clean(ctx)
	}
	if err != nil {
		return fmt.Errorf("deferred triggers: %w", err)
	}
	return nil
}
