package applier

import (
	"context"
	"encoding/json"

	"github.com/pgbridge/pgbridge/action"
)

// look finds rows of a table by its key, whose values begin at places, and gives each to
// found: its number, whether this transaction wrote it, and its columns.
func (w *writer) look(ctx context.Context, t *table, keys []action.Value, places []int, found func([][]byte)) error {
	columns := upTo(len(t.key))
	if p := t.finder(t.key); p.role != "" {
		answer, err := w.ask(ctx, t, t.look(), appendTextMatrix(nil, keys, places, columns))
		if err != nil {
			return err
		}
		return eachRow(answer, found)
	}
	w.bind(columns, keys, places)
	name, err := w.prepare(ctx, t.look())
	if err != nil {
		return err
	}
	result := w.conn.PgConn().ExecPrepared(ctx, name, w.args, []int16{1}, nil)
	for result.NextRow() {
		found(result.Values())
	}
	_, err = result.Close()
	return err
}

// eachRow gives each row of a JSON array to found.
func eachRow(answer string, found func([][]byte)) error {
	var rows [][]*string
	if err := json.Unmarshal([]byte(answer), &rows); err != nil {
		return err
	}
	for _, row := range rows {
		values := make([][]byte, len(row))
		for i, v := range row {
			if v != nil {
				values[i] = []byte(*v)
			}
		}
		found(values)
	}
	return nil
}

// missing counts the whole rows, whose values begin at places, that a table has not.
func (w *writer) missing(ctx context.Context, t *table, values []action.Value, places []int) (string, error) {
	columns := upTo(len(t.columns))
	if p := t.finder(t.columns); p.role != "" {
		return w.ask(ctx, t, t.missing(), appendTextMatrix(nil, values, places, columns))
	}
	w.bind(columns, values, places)
	name, err := w.prepare(ctx, t.missing())
	if err != nil {
		return "", err
	}
	result := w.conn.PgConn().ExecPrepared(ctx, name, w.args, []int16{1}, nil).Read()
	if result.Err != nil {
		return "", result.Err
	}
	return string(result.Rows[0][0]), nil
}

// ask executes a query on a table as its owner, whatever its policies say.
func (w *writer) ask(ctx context.Context, t *table, query string, args []byte) (answer string, err error) {
	err = w.unforced(ctx, t, func() error {
		answer, err = w.runners.ask(ctx, t.owner, query, args)
		return err
	})
	return answer, err
}
