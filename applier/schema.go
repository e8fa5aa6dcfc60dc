package applier

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/ddl"
	"github.com/pgbridge/pgbridge/postgres"
)

// allowed refuses, before anything of r is applied, a record that is written
// against another schema, or that changes it without the right to. skip is the
// number of its transactions that are applied already.
func (t *target) allowed(r *opened, skip int) error {
	changes := action.ChangesSchema(r.body)
	if changes && r.Header.Writer != t.owner {
		return fmt.Errorf("%w: record %d changes it, and writer %s is not the owner of the database", ErrSchema, r.Header.Seq, r.Header.Writer)
	}
	digest := r.Header.Schema
	if changes && skip > 0 {
		digest = schemaAfter(digest, r.body, skip)
	}
	if digest != t.pos.Schema {
		return fmt.Errorf("%w: record %d is against %s, here it is %s: was something skipped, or restored halfway?", ErrSchema, r.Header.Seq, digest, t.pos.Schema)
	}
	return nil
}

// schemaAfter is the digest of the schema after the first n transactions of a body.
func schemaAfter(digest action.Digest, body []byte, n int) action.Digest {
	t := target{}
	t.pos.Schema = digest
	t.reader.Reset(body)
	for ; n > 0 && t.reader.Tx(); n-- {
		for t.reader.Action() {
			if t.reader.Shape().Op == action.Schema {
				t.passSchema()
			}
		}
	}
	return t.pos.Schema
}

// passSchema moves the digest of the schema past statements that need not be
// executed. A reader that fails has the error.
func (t *target) passSchema() {
	for t.reader.Row() {
		statement, _ := t.reader.Values()[0].Text()
		settings, _ := t.reader.Values()[1].Text()
		t.pos.Schema = action.NextSchema(t.pos.Schema, statement, settings)
	}
}

// schema executes the statements of a run. What is known of tables is read again
// after each, and what the commit has to remember of them is prepared.
func (t *target) schema(ctx context.Context) error {
	if err := t.flushAll(ctx); err != nil {
		return err
	}
	if !t.altered {
		if err := checkTables(ctx, t.conn); err != nil {
			return err
		}
		var err error
		if t.own, err = ownTables(ctx, t.conn); err != nil {
			return err
		}
		t.altered = true
	}
	for t.reader.Row() {
		statement, _ := t.reader.Values()[0].Text()
		settings, _ := t.reader.Values()[1].Text()
		if err := t.alter(ctx, statement, settings); err != nil {
			return fmt.Errorf("apply %s (%s): %w", t.reader.Shape().Action(), ddl.Tag(statement), err)
		}
		t.pos.Schema = action.NextSchema(t.pos.Schema, statement, settings)
		if err := t.forgetSchema(ctx); err != nil {
			return err
		}
	}
	return t.reader.Err()
}

// alter executes one statement under its settings, and puts those of the session
// back.
func (t *target) alter(ctx context.Context, statement, text string) error {
	if ddl.Tag(statement) == "" {
		return errors.New("not a statement that changes a schema")
	}
	s, err := parseStatement(statement, text)
	if err != nil || t.without.Privileges && ddl.IsRight(statement) {
		return err
	}
	if t.without.Owner { // everything belongs to the role of the session
		if s.newOwner() {
			return nil
		}
		s.role, s.object = "", nil
	}
	if err := t.runners.refuseAuthor(ctx, s.role); err != nil {
		return err
	}
	if s.object != nil && s.newOwner() {
		return t.changeOwner(ctx, s)
	}
	role := s.role
	if s.object != nil {
		if role, err = s.object.owner(ctx, t.conn); err != nil {
			return err
		}
	}
	direct, err := t.runners.direct(ctx, role)
	if err != nil {
		return err
	}
	missing, err := t.roles.ready(ctx, role, statement)
	if err != nil {
		return err
	}
	if err := t.set(ctx, s.under); err != nil {
		return err
	}
	if direct {
		err = t.runners.own(ctx, statement)
	} else {
		_, err = t.runners.run(ctx, role, statement, nil)
	}
	return missingRole(missing, err)
}

// set sets settings for a statement. What comes after the statement puts them back.
func (t *target) set(ctx context.Context, under map[string]string) error {
	names := slices.Sorted(maps.Keys(under))
	values := make([]string, len(names))
	for i, name := range names {
		values[i] = under[name]
	}
	_, err := t.conn.Exec(ctx, "SELECT set_config(n, v, true) FROM unnest($1::text[], $2::text[]) s (n, v)", names, values)
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	return nil
}

// clear deletes all rows of a table. Those that it has now follow.
func (t *target) clear(ctx context.Context, s *action.Shape) error {
	if err := t.flushAll(ctx); err != nil {
		return err
	}
	tab, err := t.tables.get(ctx, s.Table)
	if err != nil {
		return fmt.Errorf("apply %s: %w", s.Action(), err)
	}
	for _, part := range tab.parts {
		if tab.guard(&action.Shape{Op: action.Delete}) == "" {
			_, err = t.conn.Exec(ctx, "DELETE FROM "+part)
		} else {
			_, err = t.w.asOwner(ctx, tab, "DELETE FROM "+part, nil)
		}
		if err != nil {
			return fmt.Errorf("apply %s: %w", s.Action(), err)
		}
	}
	return nil
}

// forgetSchema drops all that is known of tables and functions. Nothing may be
// collected.
func (t *target) forgetSchema(ctx context.Context) error {
	t.resetNets()
	t.tables.known = nil
	clear(t.plans)
	clear(t.nets)
	t.functions.forget()
	t.counters.forget()
	if err := t.conn.DeallocateAll(ctx); err != nil {
		return fmt.Errorf("forget statements: %w", err)
	}
	return nil
}

// keepSchema does, before the commit of a transaction that changed the schema, what
// joining does: only the owner of an action executes it, whatever rights were given, and
// the tables are remembered. A copy without owners or privileges also closes routines
// that run with the rights of their owner.
func (t *target) keepSchema(ctx context.Context) error {
	if !t.altered {
		return nil
	}
	if _, err := t.conn.Exec(ctx, "SELECT pgbridge.close_actions()"); err != nil {
		return fmt.Errorf("close actions to all but their owners: %w", err)
	}
	if t.without != (postgres.Without{}) {
		if err := postgres.CloseNewDefiners(ctx, t.conn); err != nil {
			return err
		}
	}
	return keepTables(ctx, t.conn, t.own)
}
