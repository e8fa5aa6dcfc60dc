package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/jackc/pgx/v5"
)

// How statements of the post-data, as pg_dump writes them, name the relation that they are
// about. The first that fits counts.
var stepRelations = []*regexp.Regexp{
	regexp.MustCompile(`^ALTER TABLE (?:ONLY )?` + dumpedName + `\s`),
	regexp.MustCompile(`^(?:ALTER|COMMENT ON) (?:INDEX|MATERIALIZED VIEW|VIEW|FOREIGN TABLE) (?:ONLY )?` + dumpedName + `\s`),
	regexp.MustCompile(`^CREATE (?:UNIQUE )?INDEX ` + dumpedIdent + ` ON (?:ONLY )?` + dumpedName + `\s`),
	regexp.MustCompile(`(?s)^CREATE (?:CONSTRAINT )?TRIGGER ` + dumpedIdent + ` .*? ON ` + dumpedName + `\s`),
	regexp.MustCompile(`(?s)^CREATE RULE ` + dumpedIdent + ` AS\s+ON \w+ TO ` + dumpedName + `\s`),
	regexp.MustCompile(`^CREATE POLICY ` + dumpedIdent + ` ON ` + dumpedName + `(?:\s|$)`),
	regexp.MustCompile(`^COMMENT ON (?:CONSTRAINT|TRIGGER|RULE|POLICY) ` + dumpedIdent + ` ON ` + dumpedName + `\s`),
	regexp.MustCompile(`(?s)^CREATE STATISTICS .* FROM ` + dumpedName + `$`),
}

// dumpedIdent is a name without a schema, as pg_dump writes it.
const dumpedIdent = `(?:[\pL_][\pL\pN_$]*|"(?:[^"]|"")+")`

var stepStatistics = regexp.MustCompile(`^(?:ALTER|COMMENT ON) STATISTICS ` + dumpedName + `\s`)

// StepOwner is the role to whom the relation belongs that a statement of the post-data is
// about. It is empty where the statement is about none, or about one that is not here.
func StepOwner(ctx context.Context, q Querier, s Step) (string, error) {
	query, name := "SELECT pg_catalog.pg_get_userbyid(relowner)::text FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass($1)", ""
	for _, r := range stepRelations {
		if m := r.FindStringSubmatch(s.Text); m != nil {
			name = m[1]
			break
		}
	}
	if m := stepStatistics.FindStringSubmatch(s.Text); name == "" && m != nil {
		query, name = "SELECT pg_catalog.pg_get_userbyid(stxowner)::text FROM pg_catalog.pg_statistic_ext WHERE pg_catalog.concat(stxnamespace::pg_catalog.regnamespace, '.', pg_catalog.quote_ident(stxname)) = $1", m[1]
	}
	if name == "" {
		return "", nil
	}
	var owner string
	err := q.QueryRow(ctx, query, name).Scan(&owner)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return owner, wrapUnlessNil(fmt.Sprintf("look up the owner of %s", name), err)
}
