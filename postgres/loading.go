package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgbridge/pgbridge/ddl"
)

// Without says what a copy is made without. The zero value: nothing.
type Without struct {
	Owner      bool // objects belong to whoever loads, as with pg_restore --no-owner
	Privileges bool // no GRANT, REVOKE, ALTER DEFAULT PRIVILEGES, as with pg_restore --no-privileges
}

// Loading says how owners and privileges are loaded. The zero value: as they are.
type Loading struct {
	Without Without
	// Service owns what belonged to a role that Superuser knows: nothing that comes
	// from an archive is done as a superuser.
	Service   string
	Superuser func(role string) bool // nil: no role is replaced
	super     bool                   // a superuser loads
}

// NewLoading returns how a database with these roles is loaded by the role of q,
// which gets what belonged to superusers, of the source or of this server.
func NewLoading(ctx context.Context, q Querier, roles []ServerRole, without Without) (Loading, error) {
	how := Loading{Without: without}
	const query = "SELECT rolname::text, rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"
	if err := q.QueryRow(ctx, query).Scan(&how.Service, &how.super); err != nil {
		return Loading{}, fmt.Errorf("ask for the role: %w", err)
	}
	super, err := names(ctx, q, "SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolsuper")
	if err != nil {
		return Loading{}, fmt.Errorf("list superusers: %w", err)
	}
	how.Superuser = superusers(roles, super...)
	return how, nil
}

// For is how it is loaded if a role, and not that of the session, gets what belonged to
// superusers. Empty: no change.
func (l Loading) For(service string) Loading {
	if service != "" {
		l.Service = service
	}
	return l
}

// NewLoadingAnywhere is NewLoading for a server that is not there yet.
func NewLoadingAnywhere(roles []ServerRole, without Without) Loading {
	return Loading{Without: without, Superuser: superusers(roles)}
}

// superusers knows those of a source, and some others.
func superusers(roles []ServerRole, others ...string) func(string) bool {
	return func(name string) bool {
		return slices.Contains(others, name) || slices.ContainsFunc(roles, func(r ServerRole) bool { return r.Superuser && r.Name == name })
	}
}

// holder is who has the rights of a role here.
func (l Loading) holder(role string) string {
	if l.Superuser != nil && l.Superuser(role) {
		return l.Service
	}
	return role
}

// owner is who owns the objects of a role here. Those of predefined roles go the way
// of a superuser's: some of them may start programs of the server.
func (l Loading) owner(role string) string {
	if l.Superuser != nil && isPredefined(role) {
		return l.Service
	}
	return l.holder(role)
}

func isPredefined(role string) bool { return strings.HasPrefix(role, "pg_") }

// The role that owns schema public from 15 on owns nothing else in a dump.
const publicOwner = "ALTER SCHEMA public OWNER TO pg_database_owner"

// choose leaves out what is not loaded, and replaces superusers.
func (l Loading) choose(all []Statement) []Statement {
	chosen := make([]Statement, 0, len(all))
	for _, s := range all {
		if s, ok := l.chooseOne(s); ok {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

func (l Loading) chooseOne(s Statement) (Statement, bool) {
	owner := ddl.IsOwner(s.Text)
	switch {
	case owner && l.Without.Owner, l.Without.Privileges && ddl.IsRight(s.Text):
		return s, false
	case owner && s.Text != publicOwner:
		s.Text = ddl.ReplaceRoles(s.Text, l.owner)
	case ddl.IsRight(s.Text):
		s.Text = ddl.ReplaceRoles(s.Text, l.holder)
	}
	s.Owner, s.Grantor = l.executor(s.Owner), l.executor(s.Grantor)
	if l.Without.Owner {
		s.Owner = ""
	}
	return s, true
}

// executor is empty for whoever loads.
func (l Loading) executor(role string) string {
	if role = l.owner(role); l.Superuser != nil && role == l.Service {
		return ""
	}
	return role
}

// RolesUsed are the roles that must be there before a schema is loaded.
type RolesUsed struct {
	Named  []string // in a statement: owners, those who have rights, those in policies
	Become []string // as which statements are executed, and to whom objects are given
}

// RolesUsed lists them, without whoever loads.
func (l Loading) RolesUsed(preData, postData string) (used RolesUsed, err error) {
	for _, text := range []string{preData, postData} {
		all, err := Statements(text)
		if err != nil {
			return RolesUsed{}, err
		}
		for _, s := range l.choose(all) {
			named := ddl.RoleNames(s.Text)
			if role := s.Role(); role != "" {
				used.Become = append(used.Become, role)
			}
			if ddl.IsOwner(s.Text) {
				used.Become = append(used.Become, named...)
			}
			used.Named = append(used.Named, named...)
		}
	}
	clean := func(all []string) []string {
		slices.Sort(all)
		all = slices.Compact(all)
		return slices.DeleteFunc(all, func(name string) bool { return name == l.Service })
	}
	used.Become = clean(used.Become)
	used.Named = clean(slices.Concat(used.Named, used.Become))
	return used, nil
}
