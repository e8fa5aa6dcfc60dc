package postgres

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
)

// Definitions are the texts of definitions, by the name of their action as records
// write it.
type Definitions map[string]json.RawMessage

// Parse reads all of them.
func (d Definitions) Parse() (action.Definitions, error) {
	all := action.Definitions{}
	for _, text := range d {
		def, err := action.ParseDefinition(text)
		if err != nil {
			return nil, err
		}
		all[def.Action] = def
	}
	return all, nil
}

// LoadDefinitions returns the definitions of the named actions as q sees them.
// Those of a writer's Chain are of an earlier moment.
func LoadDefinitions(ctx context.Context, q Querier) (Definitions, error) {
	rows, err := q.Query(ctx, "SELECT name, definition::text FROM pgbridge.action")
	if err != nil {
		return nil, wrapUnlessNil("read definitions", err)
	}
	all := Definitions{}
	var name, text string
	_, err = pgx.ForEachRow(rows, []any{&name, &text}, func() error {
		all[name] = json.RawMessage(text)
		return nil
	})
	return all, wrapUnlessNil("read definitions", err)
}

// SaveDefinition keeps a definition that came by the stream; a nil text drops it.
// With it come and go the functions by which the application calls the action,
// if what it calls is here: other actions may call it. Rights do not travel, so
// what only its owner may execute is made so here, too.
func SaveDefinition(ctx context.Context, q Querier, name, function string, text *string) error {
	_, err := q.Exec(ctx, "SELECT pgbridge.follow_definition($1, $2, $3)", name, function, text)
	return wrapUnlessNil("keep the definition of "+name, err)
}

// CloseDefiners takes the right to execute away from all but the owner of each
// routine that runs with its owner's rights: rights do not travel, the owner here
// is whoever restored, and by default everybody may execute everything.
func CloseDefiners(ctx context.Context, q Querier) error {
	_, err := q.Exec(ctx, `SELECT pgbridge.close_function(p.oid::regprocedure) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE p.prosecdef AND n.nspname NOT IN ('pgbridge', 'pg_catalog', 'information_schema')
			AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')`)
	return wrapUnlessNil("take rights to functions away", err)
}

// LoadSecret returns what makes a mark in the WAL a true one. It is for the
// owner's eyes, and never for a log.
func LoadSecret(ctx context.Context, q Querier) (string, error) {
	var secret string
	err := q.QueryRow(ctx, "SELECT secret FROM pgbridge.secret").Scan(&secret)
	return secret, wrapUnlessNil("read the secret of this database", err)
}
