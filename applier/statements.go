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

// begin opens the target transaction. Constraints are not deferred: under
// session_replication_role = replica the deferrable ones are not checked at all.
func (t *target) begin(ctx context.Context) error {
	tx, err := t.conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	t.tx, t.called, t.altered = tx, nil, false
	t.runners.begin()
	return nil
}

// commit writes the progress and commits: both, or neither.
func (t *target) commit(ctx context.Context) error {
	if err := t.settle(ctx); err != nil {
		return err
	}
	if err := t.keepSchema(ctx); err != nil {
		return err
	}
	if err := t.runners.finish(ctx); err != nil {
		return err
	}
	if err := postgres.SaveProgress(ctx, t.conn, t.pos); err != nil {
		return err
	}
	err := t.tx.Commit(ctx)
	t.tx = nil
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func (t *target) rollback(ctx context.Context) error {
	if t.tx == nil {
		return nil
	}
	err := t.tx.Rollback(ctx)
	t.tx = nil
	if err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	if t.altered {
		return t.forgetSchema(ctx)
	}
	return nil
}

// addTruncate collects a truncate. Those that follow each other and restart
// sequences alike are one statement: a foreign key between two tables lets
// neither be emptied alone.
func (t *target) addTruncate(ctx context.Context, s *action.Shape) error {
	if len(t.truncates) > 0 && t.truncates[0].Restart != s.Restart {
		if err := t.truncate(ctx); err != nil {
			return err
		}
	}
	t.truncates = append(t.truncates, s)
	return nil
}

// truncate empties the collected tables with one statement, as the source did:
// without CASCADE, because the record names every table that was emptied.
func (t *target) truncate(ctx context.Context) error {
	if len(t.truncates) == 0 {
		return nil
	}
	if err := t.flushAll(ctx); err != nil {
		return err
	}
	var names, owners []string
	of := map[string][]string{}
	for _, s := range t.truncates {
		tab, err := t.tables.get(ctx, s.Table)
		if err != nil {
			return fmt.Errorf("apply %s: %w", s.Action(), err)
		}
		if len(of[tab.owner]) == 0 {
			owners = append(owners, tab.owner)
		}
		names, of[tab.owner] = append(names, tab.parts...), append(of[tab.owner], tab.parts...)
	}
	end := ""
	if t.truncates[0].Restart {
		end = " RESTART IDENTITY"
	}
	t.truncates = t.truncates[:0]
	if len(names) == 0 { // all of it is foreign
		return nil
	}
	if role, err := t.mayTruncate(ctx, owners, names); err != nil {
		return fmt.Errorf("apply truncate of %s: %w", strings.Join(names, ", "), err)
	} else if role != "" {
		owners, of = []string{role}, map[string][]string{role: names}
	}
	for _, owner := range owners {
		if err := t.runAs(ctx, owner, "TRUNCATE "+strings.Join(of[owner], ", ")+end); err != nil {
			return fmt.Errorf("apply truncate of %s: %w", strings.Join(of[owner], ", "), err)
		}
	}
	return nil
}

// mayTruncate is the first of the owners of tables that may empty all of them: the source
// did it with one statement, and a foreign key between two tables lets neither be emptied
// alone. It is empty where no owner may; then each empties its own.
func (t *target) mayTruncate(ctx context.Context, owners, names []string) (string, error) {
	if len(owners) == 1 {
		return owners[0], nil
	}
	const query = `SELECT o FROM unnest($1::text[]) WITH ORDINALITY u (o, i) WHERE NOT EXISTS (
			SELECT FROM unnest($2::text[]) t WHERE NOT has_table_privilege(o, t, 'TRUNCATE')) ORDER BY i LIMIT 1`
	tables := make([]string, len(names))
	for i, name := range names {
		tables[i] = strings.TrimPrefix(name, "ONLY ")
	}
	var role string
	err := t.conn.QueryRow(ctx, query, owners, tables).Scan(&role)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return role, err
}

// runAs executes a statement as a role.
func (t *target) runAs(ctx context.Context, role, statement string) error {
	direct, err := t.runners.direct(ctx, role)
	switch {
	case err != nil:
	case direct:
		_, err = t.conn.Exec(ctx, statement)
	default:
		_, err = t.runners.run(ctx, role, statement, nil)
	}
	return err
}

// raise moves sequences to at least the given values, in their own direction, as
// far as they go: the values were read when the source may have had others than
// the sequences are here until later statements come. Then they come again.
const raise = `SELECT setval(oid, value) FROM (
		SELECT c.oid, s.seqincrement > 0 AS up, pg_sequence_last_value(c.oid) AS last, CASE WHEN s.seqincrement > 0 THEN least(f.value, s.seqmax) ELSE greatest(f.value, s.seqmin) END AS value
		FROM unnest($1::text[], $2::text[], $3::int8[]) f (schema, name, value)
		JOIN pg_namespace n ON n.nspname = f.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = f.name AND c.relkind = 'S'
		JOIN pg_sequence s ON s.seqrelid = c.oid
		WHERE CASE WHEN s.seqincrement > 0 THEN f.value >= s.seqmin ELSE f.value <= s.seqmax END) f
	WHERE CASE WHEN up THEN coalesce(last < value, true) ELSE coalesce(last > value, true) END`

// sequences applies a run of floors. It is outside of transactions by nature;
// doing it twice is harmless.
func (t *target) sequences(ctx context.Context) error {
	var schemas, names, values []string
	for t.reader.Row() {
		v := t.reader.Values()
		text, _ := v[0].Text()
		name, err := action.ParseName(text)
		if err != nil {
			return err
		}
		value, _ := v[1].Text()
		schemas, names, values = append(schemas, name.Schema), append(names, name.Name), append(values, value)
	}
	if _, err := t.conn.Exec(ctx, raise, schemas, names, values); err != nil {
		return fmt.Errorf("set sequences: %w", err)
	}
	return nil
}

// exact replays records transaction by transaction, in the order of the source.
func (t *target) exact(ctx context.Context, records []opened) error {
	t.resetNets()
	for i := 0; i < len(records) && !t.stopped; i++ {
		if err := t.each(ctx, &records[i], t.exactTx); err != nil {
			return err
		}
	}
	return nil
}

// each does the transactions of r one by one, from where progress says.
func (t *target) each(ctx context.Context, r *opened, do func(context.Context, *opened, int) error) error {
	skip, err := t.enter(r)
	if err != nil {
		return err
	}
	t.reader.Reset(r.body)
	n := 0
	for ; t.reader.Tx(); n++ {
		if n < skip {
			continue
		}
		if stop, err := t.stop(r, n); stop || err != nil {
			return err
		}
		if err := do(ctx, r, n); err != nil {
			if t.hopeless(ctx, err) {
				return err
			}
			return &Stuck{Writer: r.Header.Writer, Epoch: r.Header.Epoch, Seq: r.Header.Seq, Tx: n, LSN: t.reader.Head().LSN, Err: err}
		}
	}
	return t.ended(r, n)
}

func (t *target) exactTx(ctx context.Context, r *opened, i int) error {
	decision := t.decided.of(r, i)
	if decision == Skip {
		return t.skip(ctx, r, i)
	}
	if t.tx == nil {
		if err := t.begin(ctx); err != nil {
			return err
		}
	}
	t.byRows = t.rowsOnly || decision == UseRows || inParts(r, i, t.reader.Head())
	start, pos := t.reader, t.pos
	var err error
	if t.loaded() {
		err = t.pass(ctx)
	} else {
		err = t.actions(ctx, t.exactRun)
	}
	if errors.Is(err, errRows) {
		if err := t.again(ctx); err != nil {
			return err
		}
		t.reader, t.pos, t.byRows = start, pos, true
		err = t.actions(ctx, t.exactRun)
	}
	if err := errors.Join(err, t.runSegment(ctx)); err != nil {
		return errors.Join(err, t.rollback(ctx))
	}
	if t.reader.More() {
		return nil
	}
	t.applied(r, i+1)
	if err := t.commit(ctx); err != nil {
		return errors.Join(err, t.rollback(ctx))
	}
	return nil
}

// again undoes what was done of a transaction and begins it once more.
func (t *target) again(ctx context.Context) error {
	t.resetNets()
	return errors.Join(t.rollback(ctx), t.begin(ctx))
}

// exactRun applies the rows of a run one by one.
func (t *target) exactRun(ctx context.Context, s *action.Shape) error {
	p, err := t.plan(ctx, s)
	if err != nil {
		return err
	}
	for t.reader.Row() {
		if err := t.one(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// Stuck: a transaction of the chain cannot be applied here, and will not be
// skipped. The chain of its writer stops.
type Stuck struct {
	Writer action.Writer
	Epoch  uint32
	Seq    uint64
	Tx     int // index in the record
	LSN    action.LSN
	Err    error
}

func (e *Stuck) Error() string {
	return fmt.Sprintf("writer %s epoch %d record %d transaction %d (commit at %s) cannot be applied: %v", e.Writer, e.Epoch, e.Seq, e.Tx, e.LSN, e.Err)
}

func (e *Stuck) Unwrap() error { return e.Err }

// hopeless tells whether trying again on this connection is in vain: it is
// gone, or the same work may succeed after a new start.
func (t *target) hopeless(ctx context.Context, err error) bool {
	return ctx.Err() != nil || t.conn.IsClosed() || transient(err)
}

// transient tells whether the server said that the same work may succeed
// later: transactions were in each other's way, it is short of something, or
// it stops.
func transient(err error) bool {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return false
	}
	switch pgErr.Code[:2] {
	case "08", "40", "53", "57", "58": // connection, rollback, resources, operator, system
		return true
	}
	return pgErr.Code == "55P03" || pgErr.Code == "25P03" // lock not available; idle in transaction timeout
}
