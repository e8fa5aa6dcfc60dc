// Package sql holds the SQL that pgbridge puts into a database: the tables of
// schema pgbridge as numbered migrations, its functions and views, and an example
// of an application with named actions. Package postgres applies it.
package sql

import "embed"

// Revision numbers the functions and views. Raise it when a released one changes: a
// program refuses a database of a higher revision than its own.
const Revision = 1

// Tables are the files of tables/, numbered from 1 without a gap. A released one
// never changes. A migration also drops functions and views that are gone, or that
// CREATE OR REPLACE cannot change.
//
//go:embed tables/*.sql
var Tables embed.FS

// Functions are the files of functions/. Each is applied again when its text changes,
// so it says CREATE OR REPLACE and can be applied to what it made before.
//
//go:embed functions/*.sql
var Functions embed.FS

// Order names the files of Functions in the order in which they are applied: views
// after the functions that they call, rights after all.
var Order = []string{
	"names", "values", "marks", "notes", "locks", "faults", "definitions", "calls",
	"publication", "identities", "rows", "objects", "frames", "statements", "owners", "authors", "privileges",
	"watch", "runners", "building", "guards", "following", "views", "rights",
}
