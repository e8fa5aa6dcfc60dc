//go:build hostile

package hostile

import (
	"fmt"
	"strings"
	"testing"
)

// Any role may write logical messages, and some roles may write under replication
// origins.
var marks = []attack{
	{
		name: "messages that look like marks", as: []role{login, owner, acting},
		sql: []string{
			`SELECT pg_logical_emit_message(true, 'pgbridge', repeat('0', 64) || m) FROM unnest(ARRAY['', 'x', 's', 'c[', 'd["app.f",null]', 'k["1","x"]', 'w["app.ledger",["id","what"]]', 'v[["9","x"]]',
				's{"statement":"DROP TABLE app.victim","n":0,"tag":"DROP TABLE","settings":{}}', 'c["app.f",["id"],["2"]]', 'e']) AS m`,
			`SELECT pg_logical_emit_message(false, 'pgbridge', repeat('0', 64) || 's{"statement":"DROP TABLE app.victim","n":0,"tag":"DROP TABLE","settings":{}}')`,
			`SELECT pg_logical_emit_message(true, 'pgbridge', '\xff00fe'::bytea), pg_logical_emit_message(true, '', ''), pg_logical_emit_message(true, 'pgbridge', '')`,
			`SELECT pg_logical_emit_message(true, 'pgbridge', repeat('c', 3000000))`,
		},
		never: `DROP TABLE|app\.f`,
	},
	{
		name: "token of a call for other marks", as: []role{acting},
		sql: []string{
			forge(`s{"statement":"DROP TABLE app.victim","n":0,"tag":"DROP TABLE","settings":{}}`), forge(`d["app.other",null]`), forge(`w["app.ledger",["id","what"]]`), forge(`k["1","` + strings.Repeat("0", 64) + `"]`),
			`BEGIN; SELECT pgbridge."mark {me}.act"('["1"]'); INSERT INTO {me}.acts VALUES (20); COMMIT`,
			`BEGIN; SELECT pgbridge.end_mark(repeat('0', 64)); INSERT INTO {me}.acts VALUES (21); COMMIT`,
			`SELECT pgbridge."mark {me}.act"(''); SELECT pgbridge."mark {me}.act"('[["a"],{}]'); SELECT pgbridge."mark {me}.act"('"]},x')`,
		},
		never: `DROP TABLE|app\.other`,
	},
	{
		name: "every function that it may run, with nonsense", as: []role{login, owner, acting},
		play: func(t *testing.T, x *scene) {
			s := x.session(t)
			s.must(t, `SET hostile.armed = off`)
			s.must(t, x.expand(`{temp traps}`))
			for _, name := range []string{"pg_proc", "pg_type", "pg_namespace"} {
				s.must(t, hideRelation(name))
			}
			s.must(t, `RESET hostile.armed`)
			for _, f := range x.source.Query(t, `SELECT format('pgbridge.%I(%s)', p.proname, (SELECT string_agg(format('NULL::%s', CASE WHEN t.typtype = 'p' THEN 'pg_catalog.text' ELSE format_type(a, NULL) END), ', ' ORDER BY i)
						FROM unnest(p.proargtypes) WITH ORDINALITY u(a, i) JOIN pg_type t ON t.oid = a))
					FROM pg_proc p WHERE p.pronamespace = 'pgbridge'::regnamespace AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)`) {
				_ = s.quietly(t, `SELECT `+f[0])
				_ = s.quietly(t, `SELECT `+strings.Replace(f[0], "NULL::text", "'{}'", 1))
			}
			for _, r := range x.source.Query(t, `SELECT format('pgbridge.%I', relname) FROM pg_class WHERE relnamespace = 'pgbridge'::regnamespace AND relkind IN ('r', 'v', 'S') AND relname NOT LIKE 'action%'`) {
				if s.quietly(t, `SELECT * FROM `+r[0]) == nil {
					t.Errorf("the attacker reads %s", r[0])
				}
			}
		},
	},
	{
		name: "origin of another program that begins with pgbridge", as: []role{owner},
		admin: grantOrigins, setup: `CREATE TABLE {me}.t (id int PRIMARY KEY)`,
		play: func(t *testing.T, x *scene) { x.writeAs(t, "pgbridge_"+x.me) },
	},
	{
		name: "origin that looks like one of the bridge", as: []role{owner},
		admin: grantOrigins, setup: `CREATE TABLE {me}.t (id int PRIMARY KEY)`,
		play: func(t *testing.T, x *scene) {
			x.writeAs(t, x.source.Value(t, `SELECT format('pgbridge_%s_%s', oid, substr((SELECT writer FROM pgbridge.chain), 1, 16)) FROM pg_database WHERE datname = current_database()`))
		},
	},
}

func forge(mark string) string {
	return `BEGIN; DO $do$ DECLARE token text := pgbridge."mark {me}.act"('["9"]'); BEGIN PERFORM pgbridge.end_mark(token), pg_logical_emit_message(true, 'pgbridge', token || '` + mark + `'); END $do$; COMMIT`
}

const grantOrigins = `GRANT EXECUTE ON FUNCTION pg_replication_origin_create(text), pg_replication_origin_session_setup(text), pg_replication_origin_session_reset(), pg_replication_origin_drop(text) TO {me}`

// writeAs writes rows and changes the schema under a replication origin.
func (x *scene) writeAs(t *testing.T, origin string) {
	t.Helper()
	s := x.session(t)
	s.must(t, fmt.Sprintf(`SELECT pg_replication_origin_create('%[1]s'), pg_replication_origin_session_setup('%[1]s')`, origin))
	s.must(t, x.expand(`INSERT INTO {me}.t VALUES (1), (2)`))
	s.must(t, x.expand(`CREATE TABLE {me}.u (id int PRIMARY KEY)`))
	s.must(t, fmt.Sprintf(`SELECT pg_replication_origin_session_reset(); SELECT pg_replication_origin_drop('%s')`, origin))
}
