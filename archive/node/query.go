package node

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/pgbridge/pgbridge/archive"
)

// query asks the index. All that is set must hold.
type query struct {
	ids, owners, recipients []string // any of these; nil is no condition
	tags                    []tagMatch
	first, last             int64    // arrival numbers, inclusive; no bound if zero
	from, to                int64    // milliseconds, inclusive; no bound if zero
	currencies              []string // all of these
	tagged                  *bool    // has tags, has none
	after                   string   // id of the last item of the page before
	limit                   int
	newestFirst             bool
}

// tagMatch is an item that has the tag with any of the values, or, if not is
// set, with none.
type tagMatch struct {
	name   string
	values []string
	not    bool
}

// page is an answer. An item's id is its cursor: it does not move when others
// arrive, or when the index is built anew.
type page struct {
	entries []entry
	more    bool
}

// Limits of a query. maxValues is that of all conditions together.
const (
	maxPage   = 1000
	maxValues = 4096
)

var errQuery = errors.New("cannot answer this query")

// find answers a query.
func (x *index) find(ctx context.Context, q query) (page, error) {
	conditions, err := q.conditions()
	if err != nil {
		return page{}, err
	}
	w := where{}
	if err := x.narrow(ctx, conditions, &w); err != nil {
		return page{}, err
	}
	if err := x.bound(ctx, q, &w); err != nil {
		return page{}, err
	}
	order := " ORDER BY i.n LIMIT ?"
	if q.newestFirst {
		order = " ORDER BY i.n DESC LIMIT ?"
	}
	text := "WHERE " + strings.Join(append(w.terms, "1"), " AND ") + order
	found, err := x.list(ctx, selectItem+"i "+text, append(w.args, q.limit+1)...)
	if err != nil {
		return page{}, err
	}
	if len(found) > q.limit {
		return page{found[:q.limit], true}, nil
	}
	return page{found, false}, nil
}

// where is the condition of a statement.
type where struct {
	terms []string
	args  []any
}

func (w *where) add(term string, args ...any) {
	w.terms = append(w.terms, term)
	w.args = append(w.args, args...)
}

// condition is a set of words of which an item must have one, or none.
type condition struct {
	words []int64
	not   bool
}

func (c condition) args() []any {
	args := make([]any, len(c.words))
	for i, w := range c.words {
		args[i] = w
	}
	return args
}

// marks is the list of parameters, in brackets.
func (c condition) marks() string { return "(?" + strings.Repeat(",?", len(c.words)-1) + ")" }

// conditions are those of the query as words, the ones that few items meet first.
func (q *query) conditions() ([]condition, error) {
	var out []condition
	total := 0
	add := func(not bool, values []string, hash func(string) int64) {
		c := condition{not: not, words: []int64{0}} // an empty list: nothing has the word 0
		for _, v := range values {
			c.words = append(c.words, hash(v))
		}
		total += len(values)
		out = append(out, c)
	}
	if q.ids != nil {
		add(false, q.ids, func(v string) int64 { return word(wordID, v) })
	}
	rest := q.tags
	if records, others := splitRecordTags(q.tags); records != nil {
		rest = others
		add(false, records[3], func(seq string) int64 { return recordWord(records[0][0], records[1][0], records[2][0], seq) })
	}
	if q.recipients != nil {
		add(false, q.recipients, func(v string) int64 { return word(wordRecipient, v) })
	}
	if q.owners != nil {
		add(false, q.owners, func(v string) int64 { return word(wordOwner, v) })
	}
	for _, tag := range rest {
		add(tag.not, tag.values, func(v string) int64 { return word(wordTag, tag.name, v) })
	}
	if total > maxValues {
		return nil, fmt.Errorf("%w: it has %d values, at most %d are allowed", errQuery, total, maxValues)
	}
	return out, nil
}

// splitRecordTags takes out the four tags that name records of pgbridge (the
// values of each, in the order of recordTags), if there is one database, one
// writer and one epoch. Nil if the query is none of these.
func splitRecordTags(tags []tagMatch) (records [][]string, others []tagMatch) {
	records = make([][]string, len(recordTags))
	for _, tag := range tags {
		at := -1
		for i, name := range recordTags {
			if tag.name == name && !tag.not && records[i] == nil && (i == 3 || len(tag.values) == 1) {
				at = i
			}
		}
		if at < 0 {
			others = append(others, tag)
			continue
		}
		records[at] = tag.values
	}
	for _, values := range records {
		if values == nil {
			return nil, nil
		}
	}
	return records, others
}

// few are so many candidates that it is quicker to look at each than to walk
// the items in order until the page is full: surely, and still.
type few [2]int

var usual = few{1000, 20_000}

// narrow turns conditions into terms. The first that few items meet, if there
// is one, lists the candidates, and the others are looked up for each.
func (x *index) narrow(ctx context.Context, conditions []condition, w *where) error {
	driver, err := x.driver(ctx, conditions)
	if err != nil {
		return err
	}
	for i, c := range conditions {
		switch {
		case i == driver:
			w.add("i.n IN (SELECT n FROM word WHERE h IN "+c.marks()+")", c.args()...)
		case c.not:
			w.add("NOT EXISTS (SELECT 1 FROM word w WHERE w.n = i.n AND w.h IN "+c.marks()+")", c.args()...)
		default:
			w.add("EXISTS (SELECT 1 FROM word w WHERE w.n = i.n AND w.h IN "+c.marks()+")", c.args()...)
		}
	}
	return nil
}

func (x *index) driver(ctx context.Context, conditions []condition) (int, error) {
	for _, most := range x.few {
		for i, c := range conditions {
			if c.not {
				continue
			}
			var count int
			probe := "SELECT count(*) FROM (SELECT 1 FROM word WHERE h IN " + c.marks() + " LIMIT ?)"
			if err := x.read.QueryRowContext(ctx, probe, append(c.args(), most)...).Scan(&count); err != nil {
				return 0, fmt.Errorf("read index: %w", x.fault(err))
			}
			if count < most {
				return i, nil
			}
		}
	}
	return -1, nil
}

// bound adds the terms that are about one item's own columns.
func (x *index) bound(ctx context.Context, q query, w *where) error {
	for _, b := range []struct {
		value int64
		term  string
	}{{q.first, "i.n >= ?"}, {q.last, "i.n <= ?"}, {q.from, "i.at >= ?"}, {q.to, "i.at <= ?"}} {
		if b.value != 0 {
			w.add(b.term, b.value)
		}
	}
	switch {
	case q.tagged != nil && *q.tagged:
		w.add("i.tags <> 'null'")
	case q.tagged != nil:
		w.add("i.tags = 'null'")
	}
	for _, name := range q.currencies {
		w.add("i.sig_type IN (SELECT value FROM json_each(?))", sigTypes(name))
	}
	if q.after == "" {
		return nil
	}
	last, err := x.lookup(ctx, q.after)
	if errors.Is(err, archive.ErrNotFound) {
		return fmt.Errorf("%w: cursor %.50q is not one of this node", errQuery, q.after)
	}
	if err != nil {
		return err
	}
	if q.newestFirst {
		w.add("i.n < ?", last.n)
	} else {
		w.add("i.n > ?", last.n)
	}
	return nil
}

// base64url is how ids, keys and signatures are written.
func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
