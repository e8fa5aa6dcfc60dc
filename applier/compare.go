package applier

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pgbridge/pgbridge/action"
)

// EffectError: a function did something else here than at its origin. Text says
// where; it holds no values. Detail has them, for who may read the database.
type EffectError struct {
	Actions []string
	Text    string
	Detail  *Difference
}

func (e *EffectError) Error() string {
	return fmt.Sprintf("%s has not the signed effect here: %s", strings.Join(e.Actions, ", "), e.Text)
}

// Difference is one row that is not as the record says. Key and the values are
// by column; a nil Want or Got stands for no row.
type Difference struct {
	Table string             `json:"table"`
	Key   map[string]*string `json:"key,omitempty"`
	Want  map[string]*string `json:"want"`
	Got   map[string]*string `json:"got"`
}

func (t *target) compareCounts(before, after map[action.Name]counts) error {
	names := t.segment.tables()
	for name := range after {
		if t.segment.effects[name] == nil {
			names = append(names, name)
		}
	}
	for _, name := range names {
		did, want := after[name].sub(before[name]), counts{}
		if e := t.segment.effects[name]; e != nil {
			want = e.counts
		}
		if did != want {
			return t.different(nil, "rows of %s: %s, the record says %s", name, did, want)
		}
	}
	return nil
}

// withRow adds to an error about numbers of rows the first row that differs, if
// there is one: it is nearer to the cause.
func (t *target) withRow(ctx context.Context, err error) error {
	var counted, differs *EffectError
	if !errors.As(err, &counted) {
		return err
	}
	for _, name := range t.segment.tables() {
		if errors.As(t.compareRows(ctx, t.segment.effects[name]), &differs) {
			counted.Detail = differs.Detail
			break
		}
	}
	return err
}

func (t *target) different(detail *Difference, format string, args ...any) error {
	return &EffectError{Actions: t.segment.names(), Text: fmt.Sprintf(format, args...), Detail: detail}
}

// compareRows compares the rows of one table.
func (t *target) compareRows(ctx context.Context, e *effect) error {
	if len(e.table.key) == 0 {
		return t.compareLoose(ctx, e)
	}
	keys, places := make([]action.Value, 0, len(e.rows)*len(e.table.key)), make([]int, len(e.rows))
	for i := range e.rows {
		places[i] = len(keys)
		for _, c := range e.table.key {
			keys = append(keys, e.rows[i].values[e.table.position[c]])
		}
	}
	found := make([]bool, len(e.rows))
	var differ error
	err := t.w.look(ctx, e.table, keys, places, func(row [][]byte) {
		if differ == nil {
			differ = t.compareRow(e, found, row)
		}
	})
	if err != nil {
		return fmt.Errorf("compare %s: %w", e.table.name, err)
	}
	if differ != nil {
		return differ
	}
	for i := range e.rows {
		if !found[i] && !e.rows[i].gone {
			d := e.difference(&e.rows[i])
			return t.different(d, "a row of %s is not there", e.table.name)
		}
	}
	return nil
}

// compareRow compares one row that was found: its number, whether it was
// written here, and its columns.
func (t *target) compareRow(e *effect, found []bool, row [][]byte) error {
	n, err := strconv.Atoi(string(row[0]))
	if err != nil || n < 1 || n > len(found) {
		return errors.New("compare: a row without a number")
	}
	want := &e.rows[n-1]
	found[n-1] = true
	got := row[2:]
	var columns []string
	here := map[string]*string{} // of columns
	for i, c := range e.table.columns {
		if !want.gone && want.known[i] && !same(got[i], want.values[i]) {
			columns = append(columns, c)
			here[c] = textOf(got[i])
		}
	}
	text := ""
	switch {
	case want.gone:
		text = "is there, the record says it is gone"
	case len(columns) > 0:
		text = "differs in " + strings.Join(columns, ", ")
	case string(row[1]) != "t" && string(row[1]) != "1":
		text = "was not written, the record says it was"
	default:
		return nil
	}
	d := e.difference(want)
	d.Got = here
	return t.different(d, "a row of %s %s", e.table.name, text)
}

// same compares the server's text with a value of a record.
func same(got []byte, want action.Value) bool {
	if got == nil || want == nil {
		return got == nil && want == nil
	}
	return bytes.Equal(got, want.AppendText(make([]byte, 0, 64)))
}

func textOf(b []byte) *string {
	if b == nil {
		return nil
	}
	s := string(b)
	return &s
}

// difference begins the description of a row.
func (e *effect) difference(want *image) *Difference {
	d := &Difference{Table: e.table.name.String(), Key: map[string]*string{}}
	for _, c := range e.table.key {
		v, _ := want.values[e.table.position[c]].Text()
		d.Key[c] = &v
	}
	if want.gone {
		return d
	}
	d.Want = map[string]*string{}
	for i, c := range e.table.columns {
		if want.known[i] {
			d.Want[c] = nil
			if v, ok := want.values[i].Text(); ok {
				d.Want[c] = &v
			}
		}
	}
	return d
}

// compareLoose looks for whole rows of a table without a key.
func (t *target) compareLoose(ctx context.Context, e *effect) error {
	var values []action.Value
	var places []int
	for _, row := range e.loose {
		for range row.more {
			places = append(places, len(values))
			values = append(values, row.values...)
		}
	}
	missing, err := t.w.missing(ctx, e.table, values, places)
	if err != nil {
		return fmt.Errorf("compare %s: %w", e.table.name, err)
	}
	if missing != "0" {
		d := &Difference{Table: e.table.name.String()}
		if missing == strconv.Itoa(len(places)) { // the first is as good as any
			d.Want = map[string]*string{}
			for i, c := range e.table.columns {
				d.Want[c] = nil
				if text, ok := values[i].Text(); ok {
					d.Want[c] = &text
				}
			}
		}
		return t.different(d, "%s rows of %s are not there", missing, e.table.name)
	}
	return nil
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}
