package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/audit"
	"github.com/pgbridge/pgbridge/postgres"
)

func newHistory() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:   "history --db-id ID TABLE KEY...",
		Short: "Tell the life of one row, action by action, from the archive",
		Long: `History reads the archive and no database. TABLE is schema.table; KEY is the value
of the table's key, or column=value for each of its columns. Every record is checked
on the way, as log does.

    2026-11-20 10:00:00.123456Z 3f…:1:42:0 insert id=7 by app.create_post(id=7, title="hello")
        title: "hello"
    2026-11-20 10:03:00.000000Z 3f…:1:43:2 update id=7
        title: "hello" -> "hello, world"

A line is the time of the commit, where it is (writer:epoch:record:transaction, as
restore --until takes it), what was done, and the named action that did it. Below are
the columns that changed, from what to what where the former value is known. Rows that
existed at the genesis are marked copy.

Where the key of the row changed, its life under the other key is told as well. Of a
table without a key, all rows that have the values are told of. Statements that change
the schema and name the table are in the list; the history of a table that was renamed
is under the name it had.

With --json each event is an object: at, writer, epoch, seq, tx, lsn, copied,
operation, key, action, params, columns (name, had, old, has, new), statement.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			if len(args) < 2 {
				return usageError{errors.New("which row? give TABLE and KEY: pgbridge history --db-id ID app.posts 7")}
			}
			table, err := action.ParseName(args[0])
			if err != nil {
				return usageError{err}
			}
			db, err := a.chosenDB(cmd.Context(), id)
			if err != nil {
				return err
			}
			return a.history(cmd.Context(), db, table, args[1:])
		},
	}
	dbIDFlag(cmd.Flags(), &id)
	return cmd
}

func (a *app) history(ctx context.Context, db action.Digest, table action.Name, key []string) error {
	t, err := a.told(ctx, db)
	if err != nil {
		return err
	}
	h := &audit.History{Chain: t.whole, Genesis: &t.genesis, Table: table}
	if h.Key, err = parseKey(&t.genesis, table, key); err != nil {
		return usageError{err}
	}
	out, events := bufio.NewWriter(a.out), 0
	err = h.Run(ctx, func(e *audit.Event) error {
		events++
		if a.JSON {
			return json.NewEncoder(out).Encode(e)
		}
		return printEvent(out, e)
	})
	if err := errors.Join(err, out.Flush()); err != nil {
		return err
	}
	if events == 0 {
		return fmt.Errorf("the chain has no such row of %s: check table and key", table)
	}
	return nil
}

// parseKey reads the arguments that find a row.
func parseKey(g *postgres.Genesis, table action.Name, args []string) (key []audit.Value, err error) {
	var columns []string
	for _, t := range g.Tables {
		if t.Name == table {
			columns = t.Key
		}
	}
	for _, arg := range args {
		name, text, pair := strings.Cut(arg, "=")
		if len(columns) == 1 && len(args) == 1 && name != columns[0] {
			name, text, pair = columns[0], arg, true
		}
		if !pair || name == "" {
			return nil, fmt.Errorf("key %q: want column=value, the key of %s is %s", arg, table, strings.Join(columns, ", "))
		}
		key = append(key, audit.Value{Name: name, Text: &text})
	}
	return key, nil
}

func printEvent(out *bufio.Writer, e *audit.Event) error {
	fmt.Fprintf(out, "%s %s %s", e.At.Format(textTime), e.Position, e.Operation)
	if e.Copied {
		fmt.Fprint(out, " copy")
	}
	printKey(out, e.Key)
	if e.Action != "" {
		var params []string
		for _, v := range e.Params {
			params = append(params, printableColumn(v.Name)+"="+cutText(v.Text))
		}
		fmt.Fprintf(out, " by %s(%s)", printable(e.Action), strings.Join(params, ", "))
	}
	fmt.Fprintln(out)
	if e.Statement != "" {
		fmt.Fprintf(out, "    %s\n", cut(oneLine(e.Statement)))
	}
	return printColumns(out, e.Columns)
}

// printKey prints what finds a row.
func printKey(out io.Writer, key []audit.Value) {
	for _, v := range key {
		fmt.Fprintf(out, " %s=%s", printableColumn(v.Name), cutText(v.Text))
	}
}

// printColumns prints what changed in a row.
func printColumns(out *bufio.Writer, columns []audit.Column) (err error) {
	for _, c := range columns {
		switch name := printableColumn(c.Name); {
		case !c.Has:
			_, err = fmt.Fprintf(out, "    %s: %s ->\n", name, cutText(c.Old))
		case !c.Had:
			_, err = fmt.Fprintf(out, "    %s: %s\n", name, cutText(c.New))
		default:
			_, err = fmt.Fprintf(out, "    %s: %s -> %s\n", name, cutText(c.Old), cutText(c.New))
		}
	}
	return err
}

// cutText is a value that a terminal can bear.
func cutText(text *string) string {
	switch {
	case text == nil:
		return "null"
	case number([]byte(*text)):
		return *text
	}
	return cut(*text)
}
