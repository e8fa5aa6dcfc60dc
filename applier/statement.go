package applier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pgbridge/pgbridge/ddl"
	"github.com/pgbridge/pgbridge/postgres"
)

// settings are those under which a statement may run. A record that names
// another is of a later pgbridge.
var settings = []string{
	"search_path", "TimeZone", "DateStyle", "IntervalStyle", "standard_conforming_strings", "array_nulls", "transform_null_equals", "xmloption",
	"bytea_output", "extra_float_digits", "default_table_access_method", "timezone_abbreviations",
}

// schemaStatement is a statement that changes the schema, and how it is executed.
type schemaStatement struct {
	text  string
	under map[string]string // settings
	// role executes it; empty: the role of the session.
	role string
	// object is what a statement without a role is about, where that is one object that is
	// there already; nil otherwise.
	object *object
}

// object is the address of an object, as pg_get_object_address takes it.
type object struct {
	kind        string
	names, args []string
}

// The keys of a record's settings that are no settings.
const (
	roleKey   = "role"
	objectKey = "object"
)

// parseStatement reads a statement and its settings as a record has them.
func parseStatement(statement, text string) (s schemaStatement, err error) {
	if ddl.Tag(statement) == "" {
		return s, errors.New("not a statement that changes a schema")
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &keys); err != nil {
		return s, fmt.Errorf("settings: %w", err)
	}
	s.text, s.under = statement, map[string]string{}
	for name, raw := range keys {
		var value string
		switch {
		case name == objectKey:
			s.object, err = parseObject(raw)
		case name == roleKey:
			err = json.Unmarshal(raw, &s.role)
		case slices.Contains(settings, name):
			err = json.Unmarshal(raw, &value)
			s.under[name] = value
		default:
			err = fmt.Errorf("setting %q is not known to this pgbridge: update it", name)
		}
		if err != nil {
			return s, fmt.Errorf("settings: %s: %w", name, err)
		}
	}
	if s.role != "" && s.object != nil {
		return s, errors.New("settings: a role, and an object whose owner is the role")
	}
	s.under["check_function_bodies"] = "off" // they may mention what comes later
	return s, nil
}

func parseObject(raw json.RawMessage) (*object, error) {
	var o object
	parts := []any{&o.kind, &o.names, &o.args}
	n := len(parts)
	if err := json.Unmarshal(raw, &parts); err != nil {
		return nil, err
	}
	if len(parts) != n || o.kind == "" {
		return nil, errors.New("not the address of an object")
	}
	return &o, nil
}

// owner is the owner of the object here; empty where the object is not here.
func (o *object) owner(ctx context.Context, q postgres.Querier) (string, error) {
	var owner string
	err := q.QueryRow(ctx, "SELECT coalesce(pgbridge.object_owner($1, $2, $3)::text, '')", o.kind, notNil(o.names), notNil(o.args)).Scan(&owner)
	if err != nil {
		return "", fmt.Errorf("look up the owner of %s %s: %w", o.kind, strings.Join(o.names, "."), err)
	}
	return owner, nil
}

func notNil(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}

var ownerTo = regexp.MustCompile(`(?is)\sOWNER\s+TO\s+("(?:[^"]|"")+"|[^\s";]+)\s*;?\s*$`)

// newOwner tells whether the statement gives its object another owner.
func (s *schemaStatement) newOwner() bool {
	return strings.HasPrefix(ddl.Tag(s.text), "ALTER ") && ownerTo.MatchString(s.text)
}

// changeOwner gives the object of a statement its new owner, as a superuser of the source
// did: neither owner may do that by itself.
func (t *target) changeOwner(ctx context.Context, s schemaStatement) error {
	written := ownerTo.FindStringSubmatch(s.text)[1]
	var owner *string // NULL: the role of the session
	switch name := strings.ToLower(written); {
	case strings.HasPrefix(written, `"`):
		name = strings.ReplaceAll(written[1:len(written)-1], `""`, `"`)
		owner = &name
	case name != "current_user" && name != "session_user" && name != "current_role":
		owner = &name
	}
	role := ""
	if owner != nil {
		role = *owner
	}
	if err := t.roles.prepareOnce(ctx, role, nil); err != nil {
		return err
	}
	_, err := t.conn.Exec(ctx, "SELECT pgbridge.change_owner($1, $2, $3, $4)", s.object.kind, notNil(s.object.names), notNil(s.object.args), owner)
	return roleError(role, err)
}
