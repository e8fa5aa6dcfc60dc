// Package sql holds the SQL that pgbridge puts into a database: schema pgbridge
// as migrations, and an example of an application with named actions. Package
// postgres applies it.
package sql

import "embed"

// Migrations are the files of migrations/, numbered from 1 without a gap.
//
//go:embed migrations/*.sql
var Migrations embed.FS
