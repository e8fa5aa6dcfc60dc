package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Action is a row of pgbridge.actions.
type Action struct {
	Name       string // as records write it: app.create_post_owner
	Function   string // with the types of its parameters
	Parameters string // names and types, for people
	Replay     string // function or rows
	Rules      []string
	// Callable tells whether pgbridge.call knows it: not where the definition came
	// by the stream and the function is not here.
	Callable   bool
	Definition json.RawMessage // the text that the stream has
	ChangedAt  time.Time
}

const actionColumns = "SELECT name, function, coalesce(parameters, ''), replay, rules, callable, definition::text, changed_at FROM pgbridge.actions"

// ErrNoAction says that there is no action of that name.
var ErrNoAction = errors.New("there is no such action")

// LoadActions returns all actions by name.
func LoadActions(ctx context.Context, q Querier) ([]Action, error) {
	rows, err := q.Query(ctx, actionColumns+" ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("read actions: %w", err)
	}
	all, err := pgx.CollectRows(rows, scanAction)
	return all, wrapUnlessNil("read actions", err)
}

// LoadAction returns the action of this name, or ErrNoAction.
func LoadAction(ctx context.Context, q Querier, name string) (Action, error) {
	rows, err := q.Query(ctx, actionColumns+" WHERE name = $1", name)
	if err != nil {
		return Action{}, fmt.Errorf("read action %s: %w", name, err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, scanAction)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNoAction
	}
	return a, wrapUnlessNil("read action "+name, err)
}

func scanAction(row pgx.CollectableRow) (Action, error) {
	var (
		a          Action
		definition string
	)
	err := row.Scan(&a.Name, &a.Function, &a.Parameters, &a.Replay, &a.Rules, &a.Callable, &definition, &a.ChangedAt)
	a.Definition, a.ChangedAt = json.RawMessage(definition), a.ChangedAt.UTC()
	return a, err
}

// ActionProblems returns what is, or has become, wrong with the actions, by
// action. Subjects are the names of actions. A Fatal one keeps an action from being
// called or replayed, a Warning may make its replay differ.
func ActionProblems(ctx context.Context, q Querier) ([]Finding, error) {
	rows, err := q.Query(ctx, "SELECT action, severity = 'error', problem, fix FROM pgbridge.action_problems ORDER BY action, severity, problem")
	if err != nil {
		return nil, fmt.Errorf("look at the actions: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Finding, error) {
		f, fatal := Finding{ID: "action", Severity: Warning}, false
		err := row.Scan(&f.Subject, &fatal, &f.Problem, &f.Fix)
		if fatal {
			f.Severity = Fatal
		}
		return f, err
	})
	return all, wrapUnlessNil("look at the actions", err)
}
