package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

func newActionExplain() *cobra.Command {
	var table, operation string
	var changed []string
	cmd := &cobra.Command{
		Use:   "explain --table SCHEMA.TABLE --operation insert|update|delete",
		Short: "Say which action a change of rows is named after, and why",
		Long: `Explain says what the stream would call a change of the table's rows by the rules
that are in force now, and of each rule for the table why it is used or why not.
Of the rules that fit, the one for the fewest changed columns is used, then the
action that comes first by name.

--changed names the columns that an UPDATE changes. The stream knows them only
under REPLICA IDENTITY FULL; else every column that is not part of the key counts
as changed, which is also what is assumed without --changed. With --json it prints
one object: action, and rules, a list of action, changed, used, fits, why.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			c, err := parseChange(table, operation, changed)
			if err != nil {
				return usageError{err}
			}
			return a.explain(cmd.Context(), &c)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&table, "table", "", "the `schema.table` whose rows change")
	flags.StringVar(&operation, "operation", "", "insert, update or delete")
	flags.StringSliceVar(&changed, "changed", nil, "the `columns` that an update changes, separated by commas")
	return cmd
}

// change is the change that is asked about.
type change struct {
	table   action.Name
	op      action.Op
	columns []string // that an update changes; nil: all
}

func parseChange(table, operation string, changed []string) (c change, err error) {
	ops := map[string]action.Op{"insert": action.Insert, "update": action.Update, "delete": action.Delete}
	if c.op = ops[operation]; c.op == 0 {
		return c, fmt.Errorf("which change? --operation is insert, update or delete, got %q", operation)
	}
	if c.table, err = action.ParseName(table); err != nil {
		return c, fmt.Errorf("--table: %w", err)
	}
	if c.columns = changed; len(changed) > 0 && c.op != action.Update {
		return c, errors.New("--changed is for updates: an insert sets all columns, a delete none")
	}
	return c, nil
}

// explanation is the answer.
type explanation struct {
	Action string     `json:"action"`
	Rules  []judgment `json:"rules"`

	asked string
	note  string
}

// judgment is what becomes of one rule.
type judgment struct {
	Action  string   `json:"action"`
	Changed []string `json:"changed"` // null: any columns
	Used    bool     `json:"used"`
	Fits    bool     `json:"fits"`
	Why     string   `json:"why"`
}

func (a *app) explain(ctx context.Context, c *change) error {
	conn, err := a.setUp(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	t, err := findTable(ctx, conn, c.table)
	if err != nil {
		return err
	}
	texts, err := postgres.LoadDefinitions(ctx, conn)
	if err != nil {
		return err
	}
	defs, err := texts.Parse()
	if err != nil {
		return err
	}
	shape, note, err := c.shape(t)
	if err != nil {
		return err
	}
	e := explain(defs, shape)
	e.asked, e.note = fmt.Sprintf("%s of %s", c.op, c.table), note
	return a.print(e, "%s", e.text())
}

func findTable(ctx context.Context, conn *pgx.Conn, name action.Name) (postgres.Table, error) {
	tables, err := postgres.Tables(ctx, conn)
	if err != nil {
		return postgres.Table{}, err
	}
	at := slices.IndexFunc(tables, func(t postgres.Table) bool { return t.Name == name })
	if at < 0 {
		return postgres.Table{}, usageError{fmt.Errorf("there is no table %s that can be published (a partition goes by its root)", name)}
	}
	return tables[at], nil
}

// shape is the change as the stream has it, and what is to be said about that.
func (c *change) shape(t postgres.Table) (s *action.Shape, note string, err error) {
	stored := t.Stored()
	for _, column := range c.columns {
		if !slices.Contains(stored, column) {
			return nil, "", usageError{fmt.Errorf("--changed: %s has no column %q in the stream", t.Name, column)}
		}
	}
	full := t.Identity == postgres.IdentityFull
	key := t.Key
	if full {
		key = stored
	}
	if c.op != action.Insert && len(key) == 0 {
		return nil, "", personError{fmt.Errorf("%s has no replica identity: the stream cannot name a row; give it a primary key, or ALTER TABLE %s REPLICA IDENTITY FULL", t.Name, t.Name.SQL())}
	}
	switch {
	case c.op == action.Insert:
		return action.NewShape(action.Insert, t.Name, nil, stored), "", nil
	case c.op == action.Delete:
		return action.NewShape(action.Delete, t.Name, key, nil), "", nil
	case full && len(c.columns) > 0:
		set := slices.DeleteFunc(slices.Clone(stored), func(column string) bool { return !slices.Contains(c.columns, column) })
		return action.NewShape(action.Update, t.Name, key, set), "", nil
	case full:
		return action.NewShape(action.Update, t.Name, key, stored), "every column is taken to change: name those that do with --changed", nil
	}
	note = fmt.Sprintf("the stream does not know which columns an update changes: ALTER TABLE %s REPLICA IDENTITY FULL makes it", t.Name.SQL())
	set := stored // where the key changes, the whole row is written
	if !slices.ContainsFunc(c.columns, func(column string) bool { return slices.Contains(key, column) }) {
		set = slices.DeleteFunc(slices.Clone(stored), func(column string) bool { return slices.Contains(key, column) })
	}
	return action.NewShape(action.Update, t.Name, key, set), note, nil
}

// text is the explanation for people.
func (e *explanation) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is named %s\n", e.asked, e.Action)
	if e.note != "" {
		fmt.Fprintf(&b, "note: %s\n", e.note)
	}
	for _, j := range e.Rules {
		verdict := "no "
		if j.Used {
			verdict = "yes"
		}
		of := ""
		if j.Changed != nil {
			of = " for " + strings.Join(j.Changed, ", ")
		}
		fmt.Fprintf(&b, "%s %s%s: %s\n", verdict, j.Action, of, j.Why)
	}
	if len(e.Rules) == 0 {
		b.WriteString("no rule is for this table and operation\n")
	}
	return b.String()
}
