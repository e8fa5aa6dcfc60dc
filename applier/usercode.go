package applier

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
)

// userCode is code of a user that runs when rows of a table are written, or when a
// statement on the table is planned (pgbridge.user_code).
type userCode struct {
	what    string // check, index, ...
	owner   string // of the function; empty: not known
	trusted bool   // the owner is a superuser
	// omitted: it runs only where this column is given no value.
	omitted string
}

const (
	codeQuery = `SELECT u.what, coalesce(pg_catalog.pg_get_userbyid(p.proowner)::text, ''), coalesce(r.rolsuper, false), coalesce(u.omitted::text, '')
		FROM pgbridge.user_code($1) u LEFT JOIN pg_catalog.pg_proc p ON p.oid = u.function LEFT JOIN pg_catalog.pg_roles r ON r.oid = p.proowner`

	insertRule = "insert rule"
	anyRule    = "rule"
)

// readCode reads the code of users of a table. It keeps none where the owner of the table
// is the role of the session: what is written then runs as that role anyway. It refuses
// code of another role there, which would have more rights here than its author has.
func (ts *tables) readCode(ctx context.Context, t *table, oid uint32) error {
	rows, err := ts.conn.Query(ctx, codeQuery, oid)
	if err != nil {
		return err
	}
	t.code, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c userCode, err error) {
		err = row.Scan(&c.what, &c.owner, &c.trusted, &c.omitted)
		return c, err
	})
	if err != nil || len(t.code) == 0 {
		return err
	}
	direct, err := ts.runners.direct(ctx, t.owner)
	if err == nil && !direct {
		// No statement runs as a superuser: what belongs to one here (--no-owner) is written
		// by the session itself, with less rights.
		direct, err = ts.runners.isSuperuser(ctx, t.owner)
	}
	if err != nil || !direct {
		return err
	}
	own := t.code
	t.code = nil
	if ts.runners.superuser { // it takes that risk, and was told so
		return nil
	}
	for _, c := range own {
		if c.owner != "" && c.owner != t.owner && !c.trusted {
			return fmt.Errorf("%w: the %s of the table runs a function of role %s, and the table belongs to %s, whose rights it must not have: ALTER TABLE %s OWNER TO %s, or give the function to %s",
				ErrRole, c.what, action.QuoteIdent(c.owner), action.QuoteIdent(t.owner), t.name.SQL(), action.QuoteIdent(c.owner), action.QuoteIdent(t.owner))
		}
	}
	return nil
}

// guard is the role that executes a statement of a shape: the owner of the table where code
// of users runs in it, else none. Rules do nothing to COPY, by which rows are inserted.
func (t *table) guard(s *action.Shape) string {
	runs := func(c userCode) bool {
		if s.Op == action.Insert && (c.what == anyRule || c.what == insertRule) {
			return false
		}
		return c.omitted == "" || s.Op == action.Insert && !slices.Contains(s.Set, c.omitted)
	}
	if slices.ContainsFunc(t.code, runs) {
		return t.owner
	}
	return ""
}

// check refuses a plan that would run into a rule: what an INSERT rule does here was done
// at the source, and is in the stream.
func (p *plan) check() error {
	isRule := func(c userCode) bool { return c.what == insertRule }
	if p.role == "" || p.shape.Op != action.Insert || !slices.ContainsFunc(p.table.code, isRule) {
		return nil
	}
	return fmt.Errorf("apply %s: the table has a rule for INSERT that fires here, and code of users: ALTER TABLE %s DISABLE RULE", p.shape.Action(), p.table.name.SQL())
}
