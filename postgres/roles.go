package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
)

// ServerRole is a role that a database uses, as its server had it. A password is
// never in it.
type ServerRole struct {
	Name        string `json:"name"`
	Superuser   bool   `json:"superuser"`
	Inherit     bool   `json:"inherit"`
	CreateRole  bool   `json:"create_role"`
	CreateDB    bool   `json:"create_db"`
	Login       bool   `json:"login"`
	Replication bool   `json:"replication"`
	BypassRLS   bool   `json:"bypass_rls"`
	// Connections is the limit of connections, -1 for none.
	Connections int32 `json:"connections"`
	// ValidUntil is when the password ends, as timestamptz in text; empty: never.
	ValidUntil string       `json:"valid_until"`
	MemberOf   []Membership `json:"member_of"` // in order of the names
}

// Membership is a role that another one is a member of. Before 16 servers have no
// options but admin; the others are what they did.
type Membership struct {
	Role    string `json:"role"`
	Admin   bool   `json:"admin"`
	Inherit bool   `json:"inherit"`
	Set     bool   `json:"set"`
}

// LoadRoles reads the roles that a schema names, those of user mappings, all groups
// that these are in and all their members, directly or not; without the predefined
// ones. They are in order of their names. All roles of the schema must be there.
func LoadRoles(ctx context.Context, q Querier, before, after string) ([]ServerRole, error) {
	used, err := Loading{}.RolesUsed(before, after)
	if err != nil {
		return nil, err
	}
	rows, err := q.Query(ctx, rolesQuery, used.Named)
	if err != nil {
		return nil, fmt.Errorf("read roles: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r ServerRole, err error) {
		var groups []string
		var admin, inherit, set []bool
		err = row.Scan(&r.Name, &r.Superuser, &r.Inherit, &r.CreateRole, &r.CreateDB, &r.Login, &r.Replication, &r.BypassRLS,
			&r.Connections, &r.ValidUntil, &groups, &admin, &inherit, &set)
		r.MemberOf = make([]Membership, len(groups))
		for i, g := range groups {
			r.MemberOf[i] = Membership{g, admin[i], inherit[i], set[i]}
		}
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("read roles: %w", err)
	}
	slices.SortFunc(all, func(a, b ServerRole) int { return strings.Compare(a.Name, b.Name) })
	for _, name := range used.Named {
		if !isPredefined(name) && !slices.ContainsFunc(all, func(r ServerRole) bool { return r.Name == name }) {
			return nil, fmt.Errorf("read roles: the schema names role %s, which is gone: try again", name)
		}
	}
	return append([]ServerRole{}, all...), nil
}

// rolesQuery takes the options of a membership by their names in JSON: they came
// with 16. Several grants of one membership count as one.
const rolesQuery = `WITH RECURSIVE named AS (
		SELECT oid FROM pg_catalog.pg_roles WHERE rolname = ANY ($1)
		UNION SELECT umuser FROM pg_catalog.pg_user_mappings WHERE umuser <> 0),
	groups (oid) AS (SELECT oid FROM named UNION SELECT m.roleid FROM pg_catalog.pg_auth_members m JOIN groups g ON m.member = g.oid),
	members (oid) AS (SELECT oid FROM named UNION SELECT m.member FROM pg_catalog.pg_auth_members m JOIN members g ON m.roleid = g.oid),
	used AS (SELECT oid FROM groups UNION SELECT oid FROM members),
	membership AS (
		SELECT m.member, g.rolname::text AS name, bool_or(m.admin_option) AS admin,
			bool_or(coalesce((o ->> 'inherit_option')::boolean, r.rolinherit)) AS inherit, bool_or(coalesce((o ->> 'set_option')::boolean, true)) AS set
		FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.member JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
			CROSS JOIN LATERAL pg_catalog.to_jsonb(m) o
		WHERE m.roleid IN (SELECT oid FROM used) GROUP BY 1, 2)
	SELECT r.rolname::text, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication, r.rolbypassrls,
		r.rolconnlimit, coalesce(r.rolvaliduntil::text, ''),
		coalesce(array_agg(m.name ORDER BY m.name COLLATE "C") FILTER (WHERE m.name IS NOT NULL), '{}'),
		coalesce(array_agg(m.admin ORDER BY m.name COLLATE "C") FILTER (WHERE m.name IS NOT NULL), '{}'),
		coalesce(array_agg(m.inherit ORDER BY m.name COLLATE "C") FILTER (WHERE m.name IS NOT NULL), '{}'),
		coalesce(array_agg(m.set ORDER BY m.name COLLATE "C") FILTER (WHERE m.name IS NOT NULL), '{}')
	FROM used JOIN pg_catalog.pg_roles r USING (oid) LEFT JOIN membership m ON m.member = r.oid
	WHERE left(r.rolname, 3) <> 'pg_'
	GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10`

// checkRoles refuses a list that LoadRoles does not return.
func checkRoles(all []ServerRole) error {
	if all == nil {
		return errors.New("no list of roles")
	}
	for i, r := range all {
		if i > 0 && all[i-1].Name >= r.Name {
			return errors.New("the roles are not in order, each once")
		}
		ordered := slices.IsSortedFunc(r.MemberOf, func(a, b Membership) int { return cmp.Compare(a.Role, b.Role) })
		if r.Name == "" || strings.Contains(r.Name, "\x00") || r.MemberOf == nil || !ordered {
			return fmt.Errorf("role %q: no name, or its memberships are not in order", r.Name)
		}
	}
	return nil
}

// CreateRoleSQL returns the statements that make the roles that are missing, each
// after the groups that it is in: what --create-roles executes. all are those of the
// source.
//
// They get NOLOGIN, no password, and neither SUPERUSER, CREATEROLE, REPLICATION nor
// BYPASSRLS: with one of these a role can read or take over more than this database,
// on a server whose other databases have nothing to do with the source, and the list
// comes from an archive. Memberships are among the made roles only, for a group that
// is there already may have rights that it had not at the source. Who is to log in
// gets that from an administrator, with ALTER ROLE.
func CreateRoleSQL(all []ServerRole, missing []string, major int) (statements []string) {
	known := map[string]ServerRole{}
	for _, r := range all {
		known[r.Name] = r
	}
	made := map[string]bool{}
	var add func(name string)
	add = func(name string) {
		if made[name] || !slices.Contains(missing, name) {
			return
		}
		made[name] = true
		r, ok := known[name]
		for _, m := range r.MemberOf {
			add(m.Role)
		}
		text := "CREATE ROLE " + action.QuoteIdent(name) + " NOLOGIN"
		if ok {
			text += r.attributes()
		}
		statements = append(statements, text)
		for _, m := range r.MemberOf {
			if slices.Contains(missing, m.Role) {
				statements = append(statements, "GRANT "+action.QuoteIdent(m.Role)+" TO "+action.QuoteIdent(name)+m.options(major))
			}
		}
	}
	for _, name := range slices.Sorted(slices.Values(missing)) {
		add(name)
	}
	return statements
}

// CreateRoles makes the missing roles of a source, all or none, and returns the
// statements. A role that is no superuser becomes a member of what it has made.
func CreateRoles(ctx context.Context, conn *pgx.Conn, source Source) (made []string, err error) {
	there, err := names(ctx, conn, "SELECT rolname::text FROM pg_catalog.pg_roles")
	if err != nil {
		return nil, fmt.Errorf("list roles: %w", err)
	}
	server, err := LoadServer(ctx, conn)
	if err != nil {
		return nil, err
	}
	missing := source.MissingRoles(there)
	made = CreateRoleSQL(source.Roles, missing, server.Major())
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, statement := range made {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		others, err := names(ctx, tx, `SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolname = ANY ($1) AND NOT pg_catalog.pg_has_role(oid, 'USAGE')`, missing)
		for _, name := range others {
			if _, err := tx.Exec(ctx, "GRANT "+action.QuoteIdent(name)+" TO CURRENT_USER"); err != nil {
				return fmt.Errorf("become a member of role %s: %w", name, err)
			}
		}
		return err
	})
	return made, err
}

// attributes are those that CreateRoleSQL takes over.
func (r ServerRole) attributes() string {
	text := ""
	if !r.Inherit {
		text += " NOINHERIT"
	}
	if r.CreateDB {
		text += " CREATEDB"
	}
	if r.Connections >= 0 {
		text += fmt.Sprintf(" CONNECTION LIMIT %d", r.Connections)
	}
	if r.ValidUntil != "" {
		text += " VALID UNTIL '" + strings.ReplaceAll(r.ValidUntil, "'", "''") + "'"
	}
	return text
}

// notTaken are the attributes at the source that CreateRoleSQL does not take over.
func (r ServerRole) notTaken() (words []string) {
	for _, a := range []struct {
		has  bool
		word string
	}{
		{r.Superuser, "SUPERUSER"}, {r.Login, "LOGIN"}, {r.CreateRole, "CREATEROLE"}, {r.Replication, "REPLICATION"}, {r.BypassRLS, "BYPASSRLS"},
	} {
		if a.has {
			words = append(words, a.word)
		}
	}
	return words
}

func (m Membership) options(major int) string {
	if major >= 16 {
		return fmt.Sprintf(" WITH ADMIN %t, INHERIT %t, SET %t", m.Admin, m.Inherit, m.Set)
	}
	if m.Admin {
		return " WITH ADMIN OPTION"
	}
	return ""
}

// AdmitAuthors admits, as authors of statements (pgbridge.author), those of the roles
// that are here and may be: no superusers. The session must be the administrator's.
func AdmitAuthors(ctx context.Context, q Querier, roles []ServerRole) error {
	var names []string
	for _, r := range roles {
		names = append(names, r.Name)
	}
	_, err := q.Exec(ctx, "SELECT pgbridge.admit_authors($1)", names)
	return wrapUnlessNil("admit the roles of the database as authors", err)
}
