package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/pgbridge/pgbridge/action"
)

// Severity says what a Finding means for going on.
type Severity string

// The severities, worst first.
const (
	Fatal   Severity = "fatal"   // it cannot work, or would lose something in silence
	Warning Severity = "warning" // it works, and will hurt some day
	Info    Severity = "info"    // good to know
)

// Finding is one thing that Check has to say.
type Finding struct {
	ID       string   `json:"id"` // of the kind of finding: stable, for scripts
	Severity Severity `json:"severity"`
	Subject  string   `json:"subject"` // the setting, the table, the role
	Problem  string   `json:"problem"`
	Fix      string   `json:"fix,omitempty"` // what to do, SQL where SQL does it
}

func (f Finding) String() string {
	s := fmt.Sprintf("%s: %s: %s", f.Severity, f.Subject, f.Problem)
	if f.Fix != "" {
		s += ": " + f.Fix
	}
	return s
}

// Options say what to check for.
type Options struct {
	Role        Role          // RoleWriter if empty; of a database that is set up, its own
	Tables      []action.Name // to publish; nil for all. Of a writer that is set up: those it publishes
	Publication string        // DefaultName if empty; of a database that is set up, its own
	Slot        string        // SlotName if empty; of a database that is set up, its own
}

// target is the database that is checked: what it is to be, or is.
type target struct {
	Options
	name   string // of the database
	user   string
	stage  Stage // empty before the first init
	server Server
	// watched: event triggers put schema changes into the stream, and give new
	// tables and partitions their replica identity.
	watched bool
}

// Check looks at everything that would stop pgbridge here, now or later, and
// changes nothing. The findings are in a fixed order, the worst first. It can be
// called before init and after; what only init needs is not looked at again. A
// check that could not be made is an error, not a finding. conn must be outside
// of a transaction.
func Check(ctx context.Context, conn *pgx.Conn, o Options) ([]Finding, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	t, err := loadTarget(ctx, tx, o)
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	checks := []func(context.Context, pgx.Tx, target) ([]Finding, error){checkServer, checkRole, checkService}
	if t.Role == RoleWriter {
		checks = append(checks, checkPublication, checkSlot, checkTables, checkSchema, checkRelations, checkDump)
	} else {
		checks = append(checks, checkFollower, checkRelations)
	}
	if t.server.Standby {
		checks = checks[:1] // the rest is about a server that can be written to
	}
	var all []Finding
	for _, check := range checks {
		found, err := check(ctx, tx, t)
		if err != nil {
			return nil, fmt.Errorf("check: %w", err)
		}
		all = append(all, found...)
	}
	slices.SortStableFunc(all, func(a, b Finding) int { return a.Severity.rank() - b.Severity.rank() })
	return all, nil
}

func (s Severity) rank() int { return slices.Index([]Severity{Fatal, Warning, Info}, s) }

func loadTarget(ctx context.Context, tx pgx.Tx, o Options) (target, error) {
	t := target{Options: o}
	if t.Role == "" {
		t.Role = RoleWriter
	}
	t.Publication = orDefault(o.Publication)
	var err error
	if t.Slot == "" {
		if t.Slot, err = SlotName(ctx, tx); err != nil {
			return target{}, err
		}
	}
	if t.server, err = LoadServer(ctx, tx); err != nil {
		return target{}, err
	}
	if err := tx.QueryRow(ctx, "SELECT current_database(), current_user").Scan(&t.name, &t.user); err != nil {
		return target{}, err
	}
	installed, err := Installed(ctx, tx)
	if err != nil || !installed {
		return t, err
	}
	d, err := LoadDatabase(ctx, tx)
	if errors.Is(err, ErrNoDatabase) {
		return t, nil
	}
	if err != nil {
		return target{}, err
	}
	t.Role, t.stage, t.Publication, t.Slot = d.Role, d.Stage, d.Publication, d.Slot
	t.watched, err = isWatched(ctx, tx)
	if err != nil {
		return target{}, err
	}
	if t.publishes() {
		p, err := LoadPublication(ctx, tx, t.Publication)
		if err != nil && !errors.Is(err, ErrNoPublication) {
			return target{}, err
		}
		t.Tables = append([]action.Name{}, p.Tables...)
	}
	return t, nil
}

// publishes tells whether init is over and publication and slot must be there.
func (t target) publishes() bool { return t.Role == RoleWriter && t.stage == StageReady }

// wants tells whether the table is, or is to be, published.
func (t target) wants(name action.Name) bool {
	return t.Tables == nil || slices.Contains(t.Tables, name)
}

// quotedUser is the role for use in a statement.
func (t target) quotedUser() string { return action.QuoteIdent(t.user) }

// names collects a query of one column.
func names(ctx context.Context, q Querier, query string, args ...any) ([]string, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
