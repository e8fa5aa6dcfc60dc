package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/postgres"
)

func newAction() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "action",
		Short: "Look at the named actions of this database",
		Long: `A named action is a function that only its owner may execute. Calls of it, and
the changes of rows that are mapped to it, are in the stream by its name and with
its parameters. Actions are made in SQL, by the owner: pgbridge.register_action,
pgbridge.map_action, pgbridge.drop_action. On a follower they came by the stream.`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newActionList(), newActionShow(), newActionExplain())
	return cmd
}

func newActionList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the actions, and what is wrong with them",
		Long: `List prints the actions by name: parameters, how a peer replays it (function or
rows), how many rules map changes to it, and what is, or has become, wrong with it.
With --json each line is an object, as show prints it. Exit code 3 when one cannot
be called or replayed any more.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			return a.listNamed(cmd.Context())
		},
	}
}

func newActionShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show one action: parameters, rules, problems",
		Long: `Show prints one action. With --json it prints one object:

    name, function       app.rename_post, and its function with types
    replay               function or rows
    callable             whether pgbridge.call runs it here
    definition           as the stream has it: params, and rules by table,
                         operation, changed, from (parameter: column), derived
    changed_at           when it was defined, or came by the stream
    problems             a list: problem, fix, and fatal: whether it keeps the action
                         from being called or replayed

Exit code 3 when one is fatal.`,
		Args: oneArg("the name of an action"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			return a.showNamed(cmd.Context(), args[0])
		},
	}
}

// named is an action with its problems.
type named struct {
	Name       string          `json:"name"`
	Function   string          `json:"function"`
	Replay     string          `json:"replay"`
	Callable   bool            `json:"callable"`
	Definition json.RawMessage `json:"definition"`
	ChangedAt  time.Time       `json:"changed_at"`
	Problems   []namedProblem  `json:"problems"`

	parameters string
	rules      []string
}

type namedProblem struct {
	Problem string `json:"problem"`
	Fix     string `json:"fix,omitempty"`
	Fatal   bool   `json:"fatal"`
}

// loadNamed adds to actions what is wrong with them.
func loadNamed(ctx context.Context, q postgres.Querier, actions []postgres.Action) (all []named, err error) {
	problems, err := postgres.ActionProblems(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, x := range actions {
		n := named{x.Name, x.Function, x.Replay, x.Callable, x.Definition, x.ChangedAt, []namedProblem{}, x.Parameters, x.Rules}
		for _, p := range problems {
			if p.Subject == x.Name {
				n.Problems = append(n.Problems, namedProblem{p.Problem, p.Fix, p.Severity == postgres.Fatal})
			}
		}
		all = append(all, n)
	}
	return all, nil
}

// verdictOn is an error when an action cannot be called or replayed.
func verdictOn(all []named) error {
	for _, n := range all {
		for _, p := range n.Problems {
			if p.Fatal {
				return personError{fmt.Errorf("%s cannot be used: %s", n.Name, p.Problem)}
			}
		}
	}
	return nil
}

// setUp connects to a database that is set up.
func (a *app) setUp(ctx context.Context) (*pgx.Conn, error) {
	conn, err := a.database(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := loadDatabase(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	return conn, nil
}

func (a *app) listNamed(ctx context.Context) error {
	conn, err := a.setUp(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	actions, err := postgres.LoadActions(ctx, conn)
	if err != nil {
		return err
	}
	all, err := loadNamed(ctx, conn, actions)
	if err != nil {
		return err
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, n := range all {
		if a.JSON {
			if err := a.print(n, ""); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(w, "%s(%s)\treplay by %s\t%s\n", n.Name, n.parameters, n.Replay, many(len(n.rules), "rule"))
		for _, p := range n.Problems {
			fmt.Fprintf(w, "  %s\n", p)
		}
	}
	w.Flush() //nolint:errcheck // a builder takes everything
	if _, err := fmt.Fprint(a.out, b.String()); err != nil {
		return err
	}
	return verdictOn(all)
}

func (a *app) showNamed(ctx context.Context, name string) error {
	conn, err := a.setUp(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	one, err := postgres.LoadAction(ctx, conn, name)
	if errors.Is(err, postgres.ErrNoAction) {
		return usageError{fmt.Errorf("there is no action %q: pgbridge action list", name)}
	}
	if err != nil {
		return err
	}
	all, err := loadNamed(ctx, conn, []postgres.Action{one})
	if err != nil {
		return err
	}
	if err := a.print(all[0], "%s", all[0].text()); err != nil {
		return err
	}
	return verdictOn(all)
}

// text is the action for people.
func (n *named) text() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "action\t%s(%s)\nfunction\t%s\nreplay\tby %s\n", n.Name, n.parameters, n.Function, n.Replay)
	if !n.Callable {
		fmt.Fprintf(w, "call\tnot here: the definition came by the stream\n")
	}
	fmt.Fprintf(w, "changed\t%s\n", n.ChangedAt.Format("2006-01-02 15:04:05Z"))
	for _, r := range n.rules {
		fmt.Fprintf(w, "rule\t%s\n", r)
	}
	for _, p := range n.Problems {
		fmt.Fprintf(w, "problem\t%s\n", p)
	}
	w.Flush() //nolint:errcheck // a builder takes everything
	return b.String()
}

func (p namedProblem) String() string {
	text := "warning: " + p.Problem
	if p.Fatal {
		text = "error: " + p.Problem
	}
	if p.Fix != "" {
		text += ". Fix: " + p.Fix
	}
	return oneLine(text)
}

// many counts things whose plural ends with an s.
func many(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
