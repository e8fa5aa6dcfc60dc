package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgbridge/pgbridge/action"
)

// Source is what a database that is to be loaded was like.
type Source struct {
	Server     GenesisServer
	Extensions []string
	Roles      []string // that policies name
	// Policed and Forced tell whether row level security is on for a table, and also
	// for its owner.
	Policed, Forced bool
}

// sourceFacts are what CheckSource looks at.
type sourceFacts struct {
	server    Server
	name      string   // of the database
	available []string // extensions
	roles     []string
	user      string // of the session
	bypass    bool   // row level security does not hold for it
}

// CheckSource looks whether the database at q can take in what was at source, and
// changes nothing. The findings are in a fixed order, the worst first.
func CheckSource(ctx context.Context, q Querier, source Source) ([]Finding, error) {
	var f sourceFacts
	var err error
	if f.server, err = LoadServer(ctx, q); err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	if err := q.QueryRow(ctx, "SELECT current_database()").Scan(&f.name); err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	const user = "SELECT rolname::text, rolsuper OR rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = current_user"
	if err := q.QueryRow(ctx, user).Scan(&f.user, &f.bypass); err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	if f.available, err = names(ctx, q, "SELECT name::text FROM pg_catalog.pg_available_extensions"); err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	if f.roles, err = names(ctx, q, "SELECT rolname::text FROM pg_catalog.pg_roles"); err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	all := assessSource(source, f)
	slices.SortStableFunc(all, func(a, b Finding) int { return a.Severity.rank() - b.Severity.rank() })
	return all, nil
}

// pseudoRoles are those that a policy can name and that no server lists.
var pseudoRoles = []string{"public", "current_user", "current_role", "session_user"}

func assessSource(source Source, f sourceFacts) (found []Finding) {
	subject := "database " + f.name
	was, is := source.Server, f.server
	switch {
	case was.Encoding == is.Encoding:
	case is.Encoding == "UTF8":
		found = append(found, Finding{"encoding", Info, subject, fmt.Sprintf("its encoding is UTF8, the source's was %s", was.Encoding), ""})
	default:
		found = append(found, Finding{
			"encoding", Fatal, subject, fmt.Sprintf("its encoding is %s, the source's was %s: not every character has a place", is.Encoding, was.Encoding),
			"createdb --template template0 --encoding " + was.Encoding,
		})
	}
	if was.Collate != is.Collate || was.CType != is.CType {
		found = append(found, Finding{
			"collation", Warning, subject,
			fmt.Sprintf("its collation and character type are %s and %s, the source's were %s and %s: text is sorted in another order", is.Collate, is.CType, was.Collate, was.CType),
			fmt.Sprintf("createdb --template template0 --lc-collate %s --lc-ctype %s", was.Collate, was.CType),
		})
	}
	for _, e := range source.Extensions {
		if !slices.Contains(f.available, e) {
			found = append(found, Finding{"extension-missing", Fatal, "extension " + e, "this server does not have it", "install the package that has it"})
		}
	}
	for _, r := range source.Roles {
		if !slices.Contains(f.roles, r) && !slices.Contains(pseudoRoles, strings.ToLower(r)) {
			found = append(found, Finding{"role-missing", Fatal, "role " + r, "policies of the database name it, and it is not here", "CREATE ROLE " + action.QuoteIdent(r) + " NOLOGIN"})
		}
	}
	if source.Forced && !f.bypass { // else the session owns what it makes
		found = append(found, Finding{
			"row-security", Fatal, "role " + f.user, "it cannot write into tables with FORCE ROW LEVEL SECURITY, which the database has",
			"ALTER ROLE " + action.QuoteIdent(f.user) + " BYPASSRLS",
		})
	}
	if major := majorOf(was.Version); major > is.Major() {
		found = append(found, Finding{
			"older-server", Warning, fmt.Sprintf("server %d", is.Major()), fmt.Sprintf("it is older than the source's, %d: what is new in the schema cannot be made here", major),
			fmt.Sprintf("use a server of version %d or newer", major),
		})
	}
	return found
}
