package audit

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/pgbridge/pgbridge/action"
)

const (
	word = `(?:"[^"]+"|[\w$]+)`
	// alterTable is a change of one table: its name, and the rest.
	alterTable = `(?is)^\s*ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(` + word + `)(?:\s*\.\s*(` + word + `))?\s*\*?\s(.*)$`
)

var (
	alterPattern = regexp.MustCompile(alterTable)
	// elsewhere are changes that are of more than the columns of one table.
	elsewhere = regexp.MustCompile(`(?i)\b(RENAME\s+TO|ATTACH|DETACH|SET\s+SCHEMA|INHERIT|OF|SET\s+(UN)?LOGGED|PARTITION)\b`)
)

// alter takes in a statement that changes the columns of one table and leaves its
// rows and their keys: of the rows that are there only the keys are known after it.
// It tells whether the statement is such a one; what is not plainly so is not.
func (x *expecting) alter(ctx context.Context, statement string) (bool, error) {
	at, ok := x.alters(statement)
	if !ok || x.tables[at].live == nil {
		return false, nil
	}
	t := x.tables[at]
	const query = `SELECT EXISTS (SELECT FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1 AND NOT c.relispartition)`
	var children bool // to which the change goes as well
	if err := x.Tx.QueryRow(ctx, query, t.live.OID).Scan(&children); err != nil {
		return false, fmt.Errorf("look for tables that inherit from %s: %w", t.name, err)
	}
	if children {
		return false, nil
	}
	t.touched, t.altered = true, true
	return true, x.tail.add(&entry{op: forgetRows, table: at})
}

// alters is the table that a statement changes in columns that are not of its key.
func (x *expecting) alters(statement string) (at int, ok bool) {
	m := alterPattern.FindStringSubmatch(statement)
	if m == nil || elsewhere.MatchString(m[3]) {
		return 0, false
	}
	if at, ok = x.named(m[1], m[2]); !ok || len(x.tables[at].key) == 0 {
		return 0, false
	}
	for _, column := range x.tables[at].key {
		if regexp.MustCompile(`(?i)(^|[^\w$])` + regexp.QuoteMeta(column) + `([^\w$]|$)`).MatchString(m[3]) {
			return 0, false
		}
	}
	return at, true
}

// named is the table of that name, if there is exactly one.
func (x *expecting) named(first, second string) (at int, ok bool) {
	schema, name := first, second
	if second == "" {
		schema, name = "", first
	}
	want := action.Name{Schema: bare(schema), Name: bare(name)}
	for i, t := range x.tables {
		if t.name.Name != want.Name || want.Schema != "" && t.name.Schema != want.Schema {
			continue
		}
		if ok {
			return 0, false
		}
		at, ok = i, true
	}
	return at, ok
}

// bare is an identifier as the catalogue has it.
func bare(identifier string) string {
	if quoted, ok := strings.CutPrefix(identifier, `"`); ok {
		return strings.TrimSuffix(quoted, `"`)
	}
	return strings.ToLower(identifier)
}
