package applier

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
)

// writer executes changes in the transaction that is open on its connection.
// Every method that finds fewer rows than the source had is an error: the
// databases have drifted apart, and nothing is skipped in silence.
type writer struct {
	conn    *pgx.Conn
	runners *runners
	args    [][]byte
	buf     []byte // memory of the arguments or of the COPY
}

// DriftError: a change did not find its row.
type DriftError struct {
	Action      string
	Want, Found int64
}

func (e *DriftError) Error() string {
	return fmt.Sprintf("%s found %d of %d rows: this database is not what the log says it is", e.Action, e.Found, e.Want)
}

// flush writes the net effect: deletes, then updates, then inserts, each as a
// set. Several changes of one statement are in no order, which is why a unique
// constraint may refuse what the source could do one by one.
func (w *writer) flush(ctx context.Context, n *net) error {
	removes, updates, inserts := groupChanges(n)
	for _, g := range removes {
		if err := w.statement(ctx, g.plan, n.values, g.at); err != nil {
			return err
		}
	}
	for _, g := range updates {
		if err := w.statement(ctx, g.plan, n.values, g.at); err != nil {
			return err
		}
	}
	for _, g := range inserts {
		if err := w.copy(ctx, g.plan, n.values, g.at); err != nil {
			return err
		}
	}
	return nil
}

// planRows are the rows, by position in the arena, of one plan.
type planRows struct {
	plan *plan
	at   []int
}

func groupChanges(n *net) (removes, updates, inserts []planRows) {
	for i := range n.changes {
		c := &n.changes[i]
		if c.gone {
			removes = appendRow(removes, c.remove, c.keyAt)
		}
		switch {
		case c.insert != nil:
			inserts = appendRow(inserts, c.insert, c.at)
		case c.update != nil && len(c.update.shape.Set) > 0:
			updates = appendRow(updates, c.update, c.at)
		}
	}
	return removes, updates, inserts
}

// appendRow adds a row to its plan's group. There are few plans.
func appendRow(groups []planRows, p *plan, at int) []planRows {
	for i := range groups {
		if groups[i].plan == p {
			groups[i].at = append(groups[i].at, at)
			return groups
		}
	}
	return append(groups, planRows{p, []int{at}})
}

// statement updates or deletes the rows at the given places.
func (w *writer) statement(ctx context.Context, p *plan, values []action.Value, rows []int) error {
	if p.role != "" {
		return w.guarded(ctx, p, values, rows)
	}
	w.bind(p.params, values, rows)
	name, err := w.prepare(ctx, p.sqlFor(len(rows)))
	if err != nil {
		return fmt.Errorf("apply %s: %w", p.shape.Action(), err)
	}
	binaryFormat := []int16{1}
	tag, err := w.conn.PgConn().ExecPrepared(ctx, name, w.args, binaryFormat, nil).Close()
	if err != nil {
		return fmt.Errorf("apply %s: %w", p.shape.Action(), err)
	}
	if found := tag.RowsAffected(); found != int64(len(rows)) {
		return &DriftError{Action: p.shape.Action(), Want: int64(len(rows)), Found: found}
	}
	return nil
}

// guarded does what statement or copy does, as the owner of the table: code of users runs
// there. Where row level security is forced upon the owner it is not, meanwhile.
func (w *writer) guarded(ctx context.Context, p *plan, values []action.Value, rows []int) error {
	w.buf = appendTextMatrix(w.buf[:0], values, rows, p.params)
	args := w.buf
	if len(p.params) == 0 {
		args = countArgument(len(rows))
	}
	found, err := w.asOwner(ctx, p.table, p.sqlFor(len(rows)), args)
	if err != nil {
		return fmt.Errorf("apply %s: %w", p.shape.Action(), err)
	}
	if found != int64(len(rows)) {
		return &DriftError{Action: p.shape.Action(), Want: int64(len(rows)), Found: found}
	}
	return nil
}

// countArgument are the arguments of a statement that takes nothing but a number of rows.
func countArgument(n int) []byte {
	return appendTextMatrix(nil, []action.Value{action.Value(strconv.Itoa(n))}, []int{0}, []int{0})
}

// asOwner executes a statement as the owner of the table that it changes, whatever its
// policies say.
func (w *writer) asOwner(ctx context.Context, t *table, statement string, args []byte) (n int64, err error) {
	err = w.unforced(ctx, t, func() error {
		n, err = w.runners.run(ctx, t.owner, statement, args)
		return err
	})
	return n, err
}

// unforced does something while row level security is not forced upon the owner of a table.
func (w *writer) unforced(ctx context.Context, t *table, do func() error) error {
	if !t.forced {
		return do()
	}
	if _, err := w.runners.run(ctx, t.owner, "ALTER TABLE "+t.name.SQL()+" NO FORCE ROW LEVEL SECURITY", nil); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	_, err := w.runners.run(ctx, t.owner, "ALTER TABLE "+t.name.SQL()+" FORCE ROW LEVEL SECURITY", nil)
	return err
}

// bind makes an argument of each column of the rows.
func (w *writer) bind(columns []int, values []action.Value, rows []int) {
	w.args, w.buf = w.args[:0], w.buf[:0]
	ends := make([]int, 0, len(columns))
	for _, c := range columns {
		w.buf = appendTextArray(w.buf, values, rows, c)
		ends = append(ends, len(w.buf))
	}
	from := 0
	for _, end := range ends {
		w.args = append(w.args, w.buf[from:end])
		from = end
	}
}

func (w *writer) prepare(ctx context.Context, sql string) (string, error) {
	d, err := w.conn.Prepare(ctx, sql, sql)
	if err != nil {
		return "", err
	}
	return d.Name, nil
}

// appendTextArray appends a text[] in the binary format of array_recv: the
// value at position column of each row.
func appendTextArray(b []byte, values []action.Value, rows []int, column int) []byte {
	const textOID = 25
	hasNull := uint32(0)
	head := len(b)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, textOID)
	b = binary.BigEndian.AppendUint32(b, uint32(len(rows)))
	b = binary.BigEndian.AppendUint32(b, 1)
	for _, at := range rows {
		b = appendElement(b, values[at+column], &hasNull)
	}
	binary.BigEndian.PutUint32(b[head+4:], hasNull)
	return b
}

// appendTextMatrix appends a text[] of two dimensions, in the binary format of array_recv:
// for each of columns the value of each row. Without columns or rows it is an empty array.
func appendTextMatrix(b []byte, values []action.Value, rows, columns []int) []byte {
	const textOID = 25
	if len(rows) == 0 || len(columns) == 0 {
		b = binary.BigEndian.AppendUint32(b, 0)
		b = binary.BigEndian.AppendUint32(b, 0)
		return binary.BigEndian.AppendUint32(b, textOID)
	}
	head := len(b)
	b = binary.BigEndian.AppendUint32(b, 2)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, textOID)
	for _, n := range []int{len(columns), len(rows)} {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
		b = binary.BigEndian.AppendUint32(b, 1)
	}
	hasNull := uint32(0)
	for _, c := range columns {
		for _, at := range rows {
			b = appendElement(b, values[at+c], &hasNull)
		}
	}
	binary.BigEndian.PutUint32(b[head+4:], hasNull)
	return b
}

// appendElement appends an element of an array, and notes a NULL.
func appendElement(b []byte, v action.Value, hasNull *uint32) []byte {
	if v == nil {
		*hasNull = 1
		return binary.BigEndian.AppendUint32(b, 0xFFFFFFFF)
	}
	size := len(b)
	b = v.AppendText(append(b, 0, 0, 0, 0))
	binary.BigEndian.PutUint32(b[size:], uint32(len(b)-size-4))
	return b
}

// copy inserts rows.
func (w *writer) copy(ctx context.Context, p *plan, values []action.Value, rows []int) error {
	if p.role != "" {
		return w.guarded(ctx, p, values, rows)
	}
	w.buf = w.buf[:0]
	width := p.shape.Width()
	for _, at := range rows {
		w.buf = appendCopyRow(w.buf, values[at:at+width])
	}
	return w.copyText(ctx, p, int64(len(rows)))
}

func appendCopyRow(b []byte, values []action.Value) []byte {
	for i, v := range values {
		if i > 0 {
			b = append(b, '\t')
		}
		b = v.AppendCopy(b)
	}
	return append(b, '\n')
}

func (w *writer) copyText(ctx context.Context, p *plan, rows int64) error {
	tag, err := w.conn.PgConn().CopyFrom(ctx, bytes.NewReader(w.buf), p.sql)
	if err != nil {
		return fmt.Errorf("apply %s: %w", p.shape.Action(), err)
	}
	if tag.RowsAffected() != rows {
		return &DriftError{Action: p.shape.Action(), Want: rows, Found: tag.RowsAffected()}
	}
	return nil
}
