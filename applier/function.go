package applier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// functions are the named actions that are in force at the place of the chain
// that is being applied. Only what is defined here is ever called.
type functions struct {
	conn    *pgx.Conn
	runners *runners
	defs    action.Definitions // nil until read
	plans   map[*action.Shape]*callPlan
}

// callPlan is how the rows of one shape are given to a function: positions of
// values, and a statement that calls it for each row of arrays of text.
type callPlan struct {
	shape  *action.Shape
	params []int
	sql    string
	// role is who makes the calls: the owner of the function. Then the values are one array
	// of two dimensions. Empty: the session itself.
	role string
}

// plan returns how to call the function of s, or nil where s is replayed by its
// rows.
func (f *functions) plan(ctx context.Context, s *action.Shape) (*callPlan, error) {
	if s.Function == (action.Name{}) {
		return nil, nil
	}
	if p, ok := f.plans[s]; ok {
		return p, nil
	}
	if err := f.load(ctx); err != nil {
		return nil, err
	}
	var p *callPlan
	if def, ok := f.defs[s.Function]; ok && def.Replay == action.ReplayFunction {
		var err error
		if p, err = f.newPlan(ctx, &def, s); err != nil {
			return nil, fmt.Errorf("call %s: %w", s.Action(), err)
		}
	}
	if f.plans == nil {
		f.plans = map[*action.Shape]*callPlan{}
	}
	f.plans[s] = p
	return p, nil
}

func (f *functions) load(ctx context.Context) error {
	if f.defs != nil {
		return nil
	}
	texts, err := postgres.LoadDefinitions(ctx, f.conn)
	if err != nil {
		return err
	}
	f.defs, err = texts.Parse()
	return err
}

// forget makes the next plan read the definitions again.
func (f *functions) forget() { f.defs, f.plans = nil, nil }

// newPlan writes the statement. Types come from the definition, never from a
// record; a parameter that the record does not have takes its default.
func (f *functions) newPlan(ctx context.Context, def *action.Definition, s *action.Shape) (*callPlan, error) {
	p := &callPlan{shape: s}
	var err error
	if p.role, err = f.caller(ctx, def); err != nil {
		return nil, err
	}
	var passed, names, params []string
	for i, name := range s.Params {
		if name == "" {
			continue
		}
		at := slices.IndexFunc(def.Params, func(p action.Param) bool { return p.Name == name })
		if at < 0 {
			return nil, fmt.Errorf("the definition has no parameter %q", name)
		}
		c, err := f.column(ctx, def.Params[at].Type)
		if err != nil {
			return nil, err
		}
		n := strconv.Itoa(len(p.params))
		passed = append(passed, action.QuoteIdent(name)+" => "+c.read("u.p"+n))
		names = append(names, "p"+n)
		p.params = append(p.params, i)
		params = append(params, p.param(len(p.params)))
	}
	from := "unnest(" + strings.Join(params, ", ") + ") u (" + strings.Join(names, ", ") + ")"
	if len(params) == 0 {
		from = "generate_series(1, $1::int) u"
		if p.role != "" {
			from = "generate_series(1, ($1)[1][1]::int) u"
		}
	}
	p.sql = "SELECT " + s.Function.SQL() + "(" + strings.Join(passed, ", ") + ") FROM " + from
	return p, nil
}

// param is parameter n of the statement, from 1: an array of text.
func (p *callPlan) param(n int) string {
	if p.role != "" {
		return element(n)
	}
	return "$" + strconv.Itoa(n) + "::text[]"
}

// caller is the owner of the function, or empty where that is the session itself.
func (f *functions) caller(ctx context.Context, def *action.Definition) (string, error) {
	const query = "SELECT pg_catalog.pg_get_userbyid(p.proowner)::text FROM pg_catalog.pg_proc p WHERE p.oid = pgbridge.find_function($1)"
	var owner string
	err := f.conn.QueryRow(ctx, query, def.Function).Scan(&owner)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil // the server says so
	}
	if err != nil {
		return "", fmt.Errorf("look up function %s: %w", def.Function, err)
	}
	direct, err := f.runners.direct(ctx, owner)
	if direct {
		owner = ""
	}
	return owner, err
}

// column is how a value of a type is read: of any length, for a parameter has
// none, while a cast to bit or character means one of 1.
func (f *functions) column(ctx context.Context, typ string) (column, error) {
	var c column
	var known bool
	err := f.conn.QueryRow(ctx, `SELECT to_regtype($1) IS NOT NULL, coalesce(format_type(to_regtype($1), -1), ''), EXISTS (WITH RECURSIVE base (oid) AS (
			SELECT to_regtype($1)::oid UNION ALL SELECT t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype = 'd')
		SELECT FROM base b JOIN pg_cast x ON x.casttarget = b.oid WHERE x.castsource = 'text'::regtype AND x.castmethod = 'f')`, typ).Scan(&known, &c.typ, &c.cast)
	if err != nil {
		return column{}, fmt.Errorf("look up type %s: %w", typ, err)
	}
	if !known {
		return column{}, errors.New("there is no type " + typ + " here")
	}
	return c, nil
}
