package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// asked is what the command line asks of the log.
type asked struct {
	db, writer, since, until string
	tables, params, keys     []string
	actions                  []string
	limit                    uint64
	follow, byTag            bool
}

func (w *asked) flags(flags *pflag.FlagSet) {
	dbIDFlag(flags, &w.db)
	flags.StringSliceVar(&w.tables, "table", nil, "only changes of this `schema.table`, by calls too, may be repeated")
	flags.StringSliceVar(&w.actions, "action", nil, "only actions of this `name`, whole (app.create_post, app.posts.update) or its last part (update), may be repeated")
	flags.StringArrayVar(&w.params, "param", nil, "only actions with this `name=value` among their parameters, or the values that a row is given; if repeated, with all")
	flags.StringArrayVar(&w.keys, "row-key", nil, "only changes of rows, by calls too, with this `column=value` in their key; if repeated, with all")
	flags.StringVar(&w.writer, "writer", "", "only records of this writer, by `address`")
	flags.StringVar(&w.since, "since", "", "only what was committed at this `time` or later")
	flags.StringVar(&w.until, "until", "", "only what was committed at this `time` or before")
	flags.Uint64Var(&w.limit, "limit", 0, "stop after this `number` of lines")
	flags.BoolVar(&w.follow, "follow", false, "at the end wait for new records")
	flags.BoolVar(&w.byTag, "by-tag", false, "fetch only the records that the index lists under the names of --action: quick, and only as complete as the index")
}

// wanted is what the list is to hold. The zero value wants everything.
type wanted struct {
	tables       map[action.Name]bool
	actions      []string
	params, keys []pair
	writer       action.Writer
	since, until time.Time
	limit        uint64

	keyOf map[action.Name][]string // the key of each table that has one
}

// pair is a name and the text that its value is to have.
type pair struct{ name, value string }

func (w *asked) parse(now time.Time) (want wanted, err error) {
	want = wanted{actions: w.actions, limit: w.limit}
	for _, text := range w.tables {
		name, err := action.ParseName(text)
		if err != nil {
			return want, fmt.Errorf("--table: %w", err)
		}
		if want.tables == nil {
			want.tables = map[action.Name]bool{}
		}
		want.tables[name] = true
	}
	if want.params, err = parsePairs(w.params); err != nil {
		return want, fmt.Errorf("--param: %w", err)
	}
	if want.keys, err = parsePairs(w.keys); err != nil {
		return want, fmt.Errorf("--row-key: %w", err)
	}
	if w.writer != "" {
		if want.writer, err = action.ParseWriter(w.writer); err != nil {
			return want, fmt.Errorf("--writer: %w", err)
		}
	}
	if want.since, err = parseTime(w.since, now); err != nil {
		return want, fmt.Errorf("--since: %w", err)
	}
	if want.until, err = parseTime(w.until, now); err != nil {
		return want, fmt.Errorf("--until: %w", err)
	}
	return want, w.checkTags()
}

// checkTags refuses what an index cannot be asked.
func (w *asked) checkTags() error {
	switch {
	case !w.byTag:
		return nil
	case w.follow:
		return fmt.Errorf("--by-tag lists what the index has now: leave out --follow")
	case len(w.actions) == 0:
		return fmt.Errorf("--by-tag wants the names to ask for: give --action")
	}
	for _, name := range w.actions {
		if !strings.Contains(name, ".") {
			return fmt.Errorf("--by-tag wants whole names: --action %q is only the last part of one", name)
		}
	}
	return nil
}

func parsePairs(texts []string) (all []pair, err error) {
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%q: want name=value", text)
		}
		all = append(all, pair{name, value})
	}
	return all, nil
}

// of makes the list one of a database: what it is to hold must be in it.
func (w *wanted) of(g *postgres.Genesis) error {
	if w.writer != (action.Writer{}) && !slices.Contains(g.Writers, w.writer) {
		return usageError{fmt.Errorf("--writer: %s does not write to this database", w.writer)}
	}
	w.keyOf = map[action.Name][]string{}
	for _, t := range g.Tables {
		w.keyOf[t.Name] = t.Key
	}
	return nil
}

func (w *wanted) deed(d *deed) bool {
	return w.name(d) && w.param(d) && w.row(d)
}

// name tells whether the action, or one of its effect, has a name that is wanted.
func (w *wanted) name(d *deed) bool {
	return len(w.actions) == 0 || w.named(d.shape.Action()) ||
		slices.ContainsFunc(d.effect, func(e deed) bool { return w.named(e.shape.Action()) })
}

func (w *wanted) named(name string) bool {
	return slices.ContainsFunc(w.actions, func(a string) bool { return name == a || strings.HasSuffix(name, "."+a) })
}

// param tells whether the action has all of the parameters. Those of a row are
// the columns that get a value.
func (w *wanted) param(d *deed) bool {
	names, values := d.shape.Params, d.values
	if d.shape.Function == (action.Name{}) {
		names = d.shape.Set
		values = values[min(len(values), len(d.shape.Key)):]
	}
	return !slices.ContainsFunc(w.params, func(p pair) bool { return !p.in(names, values) })
}

// row tells whether one row that the action changes is of a table and has a key
// that are wanted.
func (w *wanted) row(d *deed) bool {
	return w.tables == nil && len(w.keys) == 0 || d.rows(func(d *deed) bool {
		return (w.tables == nil || w.tables[d.shape.Table]) &&
			!slices.ContainsFunc(w.keys, func(p pair) bool { return !w.keyed(d, p) })
	})
}

// keyed tells whether p is in the key of the row, before or after the change.
func (w *wanted) keyed(d *deed, p pair) bool {
	if key := w.keyOf[d.shape.Table]; len(d.values) == 0 || len(key) > 0 && !slices.Contains(key, p.name) {
		return false
	}
	keys := len(d.shape.Key)
	return p.in(d.shape.Key, d.values[:keys]) || p.in(d.shape.Set, d.values[keys:])
}

// in tells whether the value that p names is the one it gives.
func (p pair) in(names []string, values []action.Value) bool {
	at := slices.Index(names, p.name)
	if at < 0 {
		return false
	}
	text, ok := values[at].Text()
	return ok && text == p.value
}

func (w *wanted) early(tx action.Tx) bool {
	return !w.since.IsZero() && tx.Clock.Time().Before(w.since)
}

func (w *wanted) late(tx action.Tx) bool {
	return !w.until.IsZero() && tx.Clock.Time().After(w.until)
}
