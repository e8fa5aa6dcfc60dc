package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// Two values of each type of parameter; NULL comes by itself.
var parameters = []struct {
	typ  string
	a, b string
}{
	{"numeric", "-1" + strings.Repeat("0", 300) + "." + strings.Repeat("7", 300), "NaN"},
	{"float8", "-0.1e-300", "-Infinity"},
	{"int[]", "[0:1]={-1,NULL}", "{{1,2},{3,4}}"},
	{"text[]", `{"a,\"b\"",NULL,"{}","\\"}`, "{}"},
	{"app.pair", `("x, ""y""",)`, "(,7)"},
	{"app.pair[]", `{"(a,)",NULL}`, "{}"},
	{"bytea", `\x00ff5c27`, ""},
	{"jsonb", `{"a": [1.10, null, "é\"\\"], "": {}}`, "null"},
	{"json", `{"b":1, "b" : 2}`, `"x"`},
	{"int4range", "[2,5)", "empty"},
	{"tstzmultirange", "{[2026-01-01 00:00+02,2026-01-02 00:00+02)}", "{}"},
	{"app.mood", "cross", "glad"},
	{"app.small", "7", "-1"},
	{"interval", "-1 year 2 mons -3 days 04:05:06.7", "0"},
	{"timestamptz", "2026-03-29 01:30:00.000001+00", "infinity"},
	{"time", "23:59:59.999999", "24:00"},
	{"date", "0044-03-15 BC", "-infinity"},
	{"money", "-1234.5", "0"},
	{"bit(5)", "10110", "00000"},
	{"varbit", "1", ""},
	{"inet", "10.0.0.1/8", "::1"},
	{"xml", "<a>é</a>", "text"},
	{"point", "(0.1,-0)", "(1e300,2)"},
	{`"char"`, "~", "a"},
	{"char(5)", "ab", ""},
	{"bool", "t", "f"},
	{"regclass", "pg_class", "app.typed"},
}

// Parameters of every kind are at the follower what they were at the origin,
// whatever the settings of the session that called. Large values that did not
// change and generated columns are in nobody's way.
func TestActionTypes(t *testing.T) {
	t.Parallel()
	source, follower := pgtest.New(t), pgtest.New(t)
	var columns, params, numbers, calls []string
	literals := [3][]string{}
	for i, p := range parameters {
		columns = append(columns, fmt.Sprintf("c%d %s", i, p.typ))
		params = append(params, fmt.Sprintf("p%d %s", i, p.typ))
		numbers = append(numbers, fmt.Sprintf("$%d", i+2))
		for n, text := range []string{p.a, p.b} {
			literals[n] = append(literals[n], fmt.Sprintf("'%s'::%s", strings.ReplaceAll(text, "'", "''"), p.typ))
		}
		literals[2] = append(literals[2], "NULL::"+p.typ)
	}
	for id, row := range literals {
		calls = append(calls, fmt.Sprintf(`SELECT pgbridge."app.typed_owner"(%d, %s); SELECT pgbridge.call('app.again_owner', '{"id": %[1]d, "more": [7, null]}')`, id, strings.Join(row, ", ")))
	}
	source.Exec(t, `CREATE SCHEMA app; CREATE TYPE app.pair AS (x text, "Y" int); CREATE TYPE app.mood AS ENUM ('glad', 'cross'); CREATE DOMAIN app.small AS int CHECK (VALUE < 10);
		CREATE TABLE app.typed (id int PRIMARY KEY, `+strings.Join(columns, ", ")+`, big text, made text GENERATED ALWAYS AS (upper(big)) STORED);
		ALTER TABLE app.typed ALTER big SET STORAGE EXTERNAL;
		CREATE FUNCTION app.typed_owner(id int, `+strings.Join(params, ", ")+`) RETURNS void LANGUAGE sql SET search_path = app AS
			$$INSERT INTO typed VALUES ($1, `+strings.Join(numbers, ", ")+`, repeat('big', 2000))$$;
		CREATE FUNCTION app.again_owner(id int, more int[]) RETURNS void LANGUAGE sql SET search_path = app AS $$UPDATE typed SET c2 = $2 WHERE typed.id = $1$$;
		REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA app FROM PUBLIC`)
	p := newPipe(t, source)
	publishing, following := p.publish(t), p.follow(t, follower)
	source.Exec(t, `SELECT pgbridge.register_action(oid::regprocedure) FROM pg_proc WHERE pronamespace = 'app'::regnamespace`)
	source.Exec(t, `SET DateStyle = 'German'; SET IntervalStyle = 'sql_standard'; SET TimeZone = 'Asia/Kathmandu'; SET bytea_output = 'escape'; SET extra_float_digits = -5; `+strings.Join(calls, ";\n"))
	p.caughtUp(t, follower, publishing, following)
	pgtest.RequireEqual(t, pgtest.Dump(t, follower), pgtest.Dump(t, source))
	for _, name := range p.actions(t) {
		if !strings.HasPrefix(name, "app.typed_owner(") && !strings.HasPrefix(name, "app.again_owner(") {
			t.Errorf("%.80s is not named", name)
		}
	}
}

// WAL that is read later is named by what was in force, and by the columns that
// there were, when it was written.
func TestNamedAfterAlter(t *testing.T) {
	t.Parallel()
	source, follower := pgtest.New(t), pgtest.New(t)
	source.Exec(t, `CREATE SCHEMA app; CREATE TABLE app.item (id int PRIMARY KEY, a text);
		CREATE FUNCTION app.add(id int, a text) RETURNS void LANGUAGE sql SET search_path = app AS $$INSERT INTO item (id, a) VALUES ($1, $2)$$; REVOKE EXECUTE ON FUNCTION app.add FROM PUBLIC`)
	p := newPipe(t, source)
	p.publish(t).stop(t)
	for _, sql := range []string{
		`INSERT INTO app.item VALUES (1, 'before')`,
		`SELECT pgbridge.register_action('app.add(int,text)'); SELECT pgbridge.map_action('app.add(int,text)', 'app.item', 'insert'); INSERT INTO app.item VALUES (2, 'with it')`,
		`INSERT INTO app.item VALUES (3, 'named')`,
		`ALTER TABLE app.item ADD b text; INSERT INTO app.item VALUES (4, 'more', 'than it takes')`,
		`ALTER TABLE app.item DROP b; INSERT INTO app.item VALUES (5, 'named again')`,
		`SELECT pgbridge.drop_action('app.add(int,text)'::regprocedure)`,
		`INSERT INTO app.item VALUES (6, 'after')`,
	} {
		source.Exec(t, sql)
	}
	following := p.follow(t, follower)
	p.caughtUp(t, follower, p.publish(t), following)
	pgtest.RequireEqual(t, pgtest.Dump(t, follower), pgtest.Dump(t, source))
	want := "app.item.insert\napp.add(id=?, a=with it)\napp.add(id=?, a=named)\npgbridge.schema\napp.item.insert\npgbridge.schema\napp.add(id=?, a=named again)\napp.item.insert"
	if got := strings.Join(p.actions(t), "\n"); got != want {
		t.Errorf("the archive has\n%s\nwant\n%s", got, want)
	}
}
