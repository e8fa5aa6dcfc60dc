package audit

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/postgres"
)

// Compare compares a live database with the state that the log says it must have
// at its own position, down to the row and the column.
//
// Where a checkpoint is the base, a table that nothing happened to since is
// compared by the sum of its rows. Of other tables the rows of the base, what
// happened to them, and those of the database go through files in a temporary
// folder, sorted by key into pieces that fit in memory: at most 256 MB are used, and
// about twice the size of these tables on disk.
type Compare struct {
	// Tx sees the database, under a snapshot. Its session is one of package sql.
	Tx pgx.Tx
	// Held is what the database holds, as of the same snapshot.
	Held Held
	// Base is the state to begin with; nil: nothing, before the initial rows.
	Base    *checkpoint.Checkpoint
	Library *checkpoint.Library
	Genesis *postgres.Genesis
	// Chain yields the records after the base.
	Chain Chain
	// Most is how many differences are listed; 100 if zero. All are counted.
	Most int
	Log  *slog.Logger // nil discards
}

// Comparison is what Compare finds.
type Comparison struct {
	Last       Position `json:"last"`       // the last transaction that the database must hold; the zero Position: none since the base
	Checkpoint uint64   `json:"checkpoint"` // it began with; 0: the genesis
	Tables     int      `json:"tables"`     // that were compared
	Rows       int64    `json:"rows"`       // that the database has in them
	// Partly are tables whose columns were changed since the base: of older rows
	// only the keys were compared, and what was written later.
	Partly      []string     `json:"partly,omitempty"`
	Found       int64        `json:"found"` // how many differences
	Differences []Difference `json:"differences"`

	Reached uint64 `json:"-"` // the last record that was read
}

// Difference is one way in which the database is not as it must be.
type Difference struct {
	// Kind is missing or extra (a row, or so many equal ones), differs (columns of
	// a row), table or column (that the database lacks), or behind (a sequence).
	Kind  string  `json:"kind"`
	Table string  `json:"table"` // or the sequence
	Key   []Value `json:"key,omitempty"`
	Times int     `json:"times,omitempty"`
	// Columns are those that differ: Old is what it must be, New what is there.
	Columns []Column `json:"columns,omitempty"`
}

// Run compares.
func (c *Compare) Run(ctx context.Context) (*Comparison, error) {
	dir, err := os.MkdirTemp("", "pgbridge-verify-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for rows: %w", err)
	}
	defer os.RemoveAll(dir)
	x := &expecting{Compare: c, dir: dir, byName: map[action.Name]int{}, live: map[action.Name]*postgres.Table{}, moved: map[string]string{}, floors: map[string]floor{}}
	if x.tail, err = newPile(dir, "tail"); err != nil {
		return nil, err
	}
	defer x.tail.remove()
	if x.rows, err = newSorter(dir, "rows", x.moved); err != nil {
		return nil, err
	}
	defer x.rows.remove()
	r := &comparing{expecting: x, out: &Comparison{Differences: []Difference{}}, room: inMemory}
	return r.out, r.run(ctx)
}

func (c *Compare) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

// comparing is one comparison under way.
type comparing struct {
	*expecting
	out  *Comparison
	room int64 // the largest pile that is matched in memory
}

func (r *comparing) run(ctx context.Context) error {
	if err := r.findTables(ctx); err != nil {
		return err
	}
	r.expectTables()
	if err := r.readTail(ctx); err != nil {
		return err
	}
	r.out.Last, r.out.Reached = r.last, r.reached
	r.compareTables()
	wanted, err := r.choose(ctx)
	if err != nil {
		return err
	}
	if slices.Contains(wanted, true) {
		if err := r.sortRows(ctx, wanted); err != nil {
			return err
		}
		if err := r.sortLive(ctx, wanted); err != nil {
			return err
		}
		if err := r.fold(r.rows, 1); err != nil {
			return err
		}
	}
	return r.sequences(ctx)
}

// expectTables lists the tables of the base.
func (r *comparing) expectTables() {
	tables := r.Genesis.Tables
	if r.Base != nil {
		r.out.Checkpoint = r.Base.Number
		tables = r.Base.Tables
		for _, s := range r.Base.Sequences {
			r.floors[s.Name.String()] = floor{s.Last, s.Called}
		}
	}
	for _, g := range tables {
		t := r.table(g.Name)
		t.key = g.Key
		for _, c := range g.Columns {
			t.number(c.Name)
		}
	}
	if r.Base != nil {
		for i := range r.Base.State {
			r.table(r.Base.State[i].Table).base = &r.Base.State[i]
		}
	}
}

// findTables lists the tables of the database.
func (r *comparing) findTables(ctx context.Context) error {
	all, err := postgres.Tables(ctx, r.Tx)
	for i := range all {
		r.live[all[i].Name] = &all[i]
	}
	return err
}

// compareTables finds the tables and the columns that the database lacks.
func (r *comparing) compareTables() {
	for _, t := range r.tables {
		if t.live == nil {
			r.differ(Difference{Kind: "table", Table: t.name.String()})
			continue
		}
		r.out.Tables++
		if t.altered {
			r.out.Partly = append(r.out.Partly, t.name.String())
			continue
		}
		stored := t.live.Stored()
		for _, name := range t.columns {
			if !slices.Contains(stored, name) {
				r.differ(Difference{Kind: "column", Table: t.name.String(), Columns: []Column{{Name: name}}})
			}
		}
	}
}

// choose tells of each table whether its rows must be looked at one by one.
func (r *comparing) choose(ctx context.Context) ([]bool, error) {
	wanted := make([]bool, len(r.tables))
	for i, t := range r.tables {
		if t.live == nil {
			continue
		}
		if wanted[i] = true; t.touched || t.base == nil {
			continue
		}
		state, err := checkpoint.ScanTable(ctx, r.Tx, *t.live)
		if err != nil {
			return nil, err
		}
		if wanted[i] = state != *t.base; wanted[i] {
			r.log().Info("the sum of the rows is another: each is compared", "table", t.name)
			continue
		}
		r.out.Rows += state.Rows
	}
	return wanted, nil
}

// sortLive sorts the rows of the database.
func (r *comparing) sortLive(ctx context.Context, wanted []bool) error {
	var all []postgres.Table
	for i, t := range r.tables {
		if t.live != nil {
			all = append(all, *t.live)
		}
		if !wanted[i] {
			continue
		}
		columns := t.live.Stored()
		for values, err := range postgres.Rows(ctx, r.Tx, *t.live) {
			if err != nil {
				return err
			}
			r.out.Rows++
			row := t.row(columns, values)
			if err := r.rows.add(&entry{op: liveRow, table: i, key: t.keyOf(row), cells: row}); err != nil {
				return err
			}
		}
	}
	return postgres.RequireRead(ctx, r.Tx, all)
}

func (r *comparing) differ(d Difference) {
	if r.out.Found++; len(r.out.Differences) < cmp.Or(r.Most, 100) {
		r.out.Differences = append(r.out.Differences, d)
	}
}
