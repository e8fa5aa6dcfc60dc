package pgtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Dump returns the rows of all user tables but those of schema pgbridge, as
// pg_dump writes them, in an order that depends on nothing but the data:
// tables by name, rows by their text. Positions of sequences are not in it
// (see Sequences), nor large objects. options go to pg_dump.
func Dump(t testing.TB, db *DB, options ...string) string {
	t.Helper()
	out := db.Run(t, "pg_dump", append([]string{"--data-only", "--no-blobs", "--exclude-schema=pgbridge"}, options...)...)
	return sortCopies(out)
}

// sortCopies keeps the COPY blocks of a dump: it sorts the rows in each, and
// the blocks by their tables. All else in a data dump is setting the scene.
func sortCopies(dump string) string {
	var blocks []string
	var head string
	var rows []string
	for line := range strings.Lines(dump) {
		switch {
		case head == "" && strings.HasPrefix(line, "COPY "):
			head = line
		case head == "":
		case line == "\\.\n":
			slices.Sort(rows)
			blocks = append(blocks, head+strings.Join(rows, "")+line)
			head, rows = "", rows[:0]
		default:
			rows = append(rows, line)
		}
	}
	slices.Sort(blocks)
	return strings.Join(blocks, "")
}

// Sequences returns one line for each sequence outside schema pgbridge: its
// name and its last value, which is NULL as long as it gave none.
func Sequences(t testing.TB, db *DB) string {
	t.Helper()
	var b strings.Builder
	for _, row := range db.Query(t, `SELECT format('%I.%I', schemaname, sequencename), last_value
		FROM pg_catalog.pg_sequences WHERE schemaname <> 'pgbridge' ORDER BY 1`) {
		fmt.Fprintln(&b, row[0], row[1])
	}
	return b.String()
}

// DumpSchema returns the definitions of everything but schema pgbridge,
// publications, subscriptions and pgbridge's own event triggers, with owners,
// privileges, and who gave them. options go to pg_dump.
func DumpSchema(t testing.TB, db *DB, options ...string) string {
	t.Helper()
	fixed := []string{"--schema-only", "--exclude-schema=pgbridge", "--no-publications", "--no-subscriptions"}
	return statements(db.Run(t, "pg_dump", append(fixed, options...)...))
}

// isSetting tells a setting from who gives a right.
func isSetting(line string) bool {
	return strings.HasPrefix(line, "SET ") && !strings.HasPrefix(line, "SET SESSION AUTHORIZATION ")
}

// statements drops from a schema dump its comments, its settings, its \restrict
// lines, whose word is random, and pgbridge's event triggers.
func statements(dump string) string {
	var b strings.Builder
	dropping := false
	for line := range strings.Lines(dump) {
		if strings.HasPrefix(line, "CREATE EVENT TRIGGER pgbridge") || strings.HasPrefix(line, "ALTER EVENT TRIGGER pgbridge") {
			dropping = true
		}
		drop := dropping || line == "\n" || strings.HasPrefix(line, "--") || isSetting(line) ||
			strings.HasPrefix(line, "SELECT pg_catalog.set_config(") ||
			strings.HasPrefix(line, "\\restrict ") || strings.HasPrefix(line, "\\unrestrict ")
		if dropping && strings.HasSuffix(line, ";\n") {
			dropping = false
		}
		if !drop {
			b.WriteString(line)
		}
	}
	return b.String()
}
