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
	// Policed and Forced tell whether row level security is on for a table, and also
	// for its owner.
	Policed, Forced bool
	// Service is the role that will write rows; empty: the role of the session.
	Service string
	// Roles are those of the source; Used are those of them that must be here, after
	// Loading left out what is not loaded.
	Roles []ServerRole
	Used  RolesUsed
	// CreateRoles: the roles that are missing will be made.
	CreateRoles bool
}

// sourceFacts are what CheckSource looks at.
type sourceFacts struct {
	server    Server
	name      string   // of the database
	available []string // extensions
	roles     []string
	user      string   // of the session
	bypass    bool     // row level security does not hold for it
	exempt    bool     // nor for the service role, or it can be made so
	others    []string // roles that user is no member of, and cannot act as
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
	const exempt = `SELECT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = $1 AND (r.rolsuper OR r.rolbypassrls)
		OR r.rolname = current_user AND (r.rolsuper OR r.rolcreaterole AND r.rolbypassrls))`
	if err := q.QueryRow(ctx, exempt, source.Service).Scan(&f.exempt); err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	if f.available, err = names(ctx, q, "SELECT name::text FROM pg_catalog.pg_available_extensions"); err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	if f.roles, err = names(ctx, q, "SELECT rolname::text FROM pg_catalog.pg_roles"); err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	f.others, err = names(ctx, q, "SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolname = ANY ($1) AND NOT pg_catalog.pg_has_role(oid, 'MEMBER')", source.Used.Become)
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	all := assessSource(source, f)
	slices.SortStableFunc(all, func(a, b Finding) int { return a.Severity.rank() - b.Severity.rank() })
	return all, nil
}

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
	found = append(found, assessRoles(source, f)...)
	if source.Forced && !f.bypass { // else the session owns what it makes
		found = append(found, Finding{
			"row-security", Fatal, "role " + f.user, "it cannot write into tables with FORCE ROW LEVEL SECURITY, which the database has",
			"ALTER ROLE " + action.QuoteIdent(f.user) + " BYPASSRLS",
		})
	}
	if (source.Policed || source.Forced) && source.Service != "" && source.Service != f.user && !f.exempt {
		found = append(found, Finding{
			"row-security", Fatal, "role " + source.Service, "it cannot write into tables with row level security, which the database has",
			"ALTER ROLE " + action.QuoteIdent(source.Service) + " BYPASSRLS, or name a role that has it with --role",
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

// assessRoles says which roles are missing, with the statements that make them. What
// is not named in the schema is no obstacle.
func assessRoles(source Source, f sourceFacts) (found []Finding) {
	severity := func(s Severity) Severity {
		if source.CreateRoles {
			return Info
		}
		return s
	}
	missing := source.MissingRoles(f.roles)
	for _, name := range missing {
		problem := "it is at the source and not here"
		was := slices.IndexFunc(source.Roles, func(r ServerRole) bool { return r.Name == name })
		if was >= 0 {
			if words := source.Roles[was].notTaken(); len(words) > 0 {
				problem += ", where it is " + strings.Join(words, " ")
			}
		}
		fix := strings.Join(statementsFor(name, CreateRoleSQL(source.Roles, missing, f.server.Major())), "; ")
		if slices.Contains(source.Used.Named, name) {
			found = append(found, Finding{"role-missing", severity(Fatal), "role " + name, "owners, privileges or policies of the database name it: " + problem, fix})
		} else {
			found = append(found, Finding{"role-related", severity(Warning), "role " + name, "it is a group or a member of roles of the database: " + problem, fix})
		}
	}
	for _, name := range f.others {
		found = append(found, Finding{
			"role-member", Fatal, "role " + name, "role " + f.user + " is no member of it, and cannot give objects to it",
			"GRANT " + action.QuoteIdent(name) + " TO " + action.QuoteIdent(f.user) + ", or leave owners out with --no-owner",
		})
	}
	return found
}

// MissingRoles are those of the source that are not among the ones that are there:
// those that the schema names and, if there are any, their groups and members, but
// for superusers.
func (s Source) MissingRoles(there []string) (missing []string) {
	for _, name := range s.Used.Named {
		if !slices.Contains(there, name) {
			missing = append(missing, name)
		}
	}
	for _, r := range s.Roles {
		if len(s.Used.Named) > 0 && !r.Superuser && !slices.Contains(there, r.Name) && !slices.Contains(missing, r.Name) {
			missing = append(missing, r.Name)
		}
	}
	return missing
}

// statementsFor picks those of CreateRoleSQL that are about a role.
func statementsFor(name string, all []string) (some []string) {
	quoted := action.QuoteIdent(name)
	for _, s := range all {
		if strings.HasPrefix(s, "CREATE ROLE "+quoted+" ") || strings.HasPrefix(s, "GRANT ") && strings.Contains(s+" ", " TO "+quoted+" ") {
			some = append(some, s)
		}
	}
	return some
}
