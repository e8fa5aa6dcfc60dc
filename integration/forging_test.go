package integration

import (
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// The owner of one action tries to drop, redefine and call that of another, and to
// change the schema of peers. Nothing of it reaches them.
func TestOwnersOfActionsCannotForge(t *testing.T) {
	t.Parallel()
	source, follower := pgtest.New(t), pgtest.New(t)
	owner := newRole(t, source)
	source.Exec(t, `CREATE SCHEMA app; CREATE TABLE app.note (id int PRIMARY KEY, text text); GRANT USAGE ON SCHEMA app TO `+owner+`; GRANT INSERT, SELECT ON app.note TO `+owner+`;
		CREATE FUNCTION app.mine(id int) RETURNS void LANGUAGE sql SET search_path = app AS 'INSERT INTO note VALUES ($1, ''mine'')';
		CREATE FUNCTION app.other(id int) RETURNS void LANGUAGE sql SET search_path = app AS 'INSERT INTO note VALUES ($1, ''other'')';
		REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA app FROM PUBLIC; ALTER FUNCTION app.mine OWNER TO `+owner)
	p := newPipe(t, source)
	publishing, following := p.publish(t), p.follow(t, follower)
	source.Exec(t, `SELECT pgbridge.register_action('app.mine(int)', replay => 'rows'), pgbridge.register_action('app.other(int)')`)
	as(t, source, owner, `SELECT pgbridge.call('app.mine', '{"id": 1}')`)

	const definition = `{"action":"app.other","function":"app.mine(integer)","params":[{"name":"id","type":"integer"}],"replay":"function","rules":[]}`
	for _, mark := range []string{
		`d["app.other",null]`, `d["app.other",` + definition + `]`, `d["app.mine",null]`, `c["app.other",["id"],["2"]]`,
		`s{"statement":"DROP TABLE app.note","n":0,"tag":"DROP TABLE","settings":{}}`, `k["1","` + strings.Repeat("0", 64) + `"]`,
	} {
		as(t, source, owner, `BEGIN; DO $$ DECLARE token text := pgbridge."mark app.mine"('["9"]'); BEGIN PERFORM pgbridge.end_mark(token), pg_logical_emit_message(true, 'pgbridge', token || '`+mark+`'); END $$; COMMIT`)
	}
	as(t, source, owner, `INSERT INTO app.note VALUES (2, 'a row'); DO $$ BEGIN PERFORM pgbridge."mark app.mine"('no JSON'); END $$`)
	source.Exec(t, `SELECT pgbridge.call('app.other', '{"id": 3}'); DELETE FROM app.note WHERE id = 2`)

	p.caughtUp(t, follower, publishing, following)
	pgtest.RequireEqual(t, pgtest.Dump(t, follower), pgtest.Dump(t, source))
	const defined = `SELECT json_object_agg(name, definition ORDER BY name) FROM pgbridge.action`
	if got, want := follower.Value(t, defined), source.Value(t, defined); got != want {
		t.Errorf("the follower has the definitions\n%s\nwant\n%s", got, want)
	}
	if got := source.Value(t, `SELECT forged FROM pgbridge.chain`); got != "7" {
		t.Errorf("%s forged marks are counted, want 7", got)
	}
	for _, body := range p.bodies(t) {
		if text := string(body); strings.Contains(text, "DROP TABLE") || strings.Contains(text, "pgbridge.checkpoint") || strings.Contains(text, "null]") {
			t.Errorf("a forged mark is in the archive:\n%s", text)
		}
	}
}
