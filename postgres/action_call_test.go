package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// callable makes and registers what the tests of calls call.
func callable(t *testing.T) *pgx.Conn {
	t.Helper()
	_, conn := migrated(t)
	application(t, conn, `
		CREATE FUNCTION app.create(id uuid, title text, n integer DEFAULT 40 + 2, slug text DEFAULT 'none') RETURNS uuid LANGUAGE sql SET search_path = app, pg_temp AS
			'INSERT INTO posts (id, title, n, slug) VALUES ($1, $2, $3, $4) RETURNING id';
		CREATE FUNCTION app.fail(id uuid) RETURNS void LANGUAGE plpgsql SET search_path = app, pg_temp AS
			'BEGIN PERFORM pgbridge."app.create"(id, ''fails''); RAISE EXCEPTION ''it fails''; END';
		CREATE FUNCTION app.twice(id uuid, other uuid) RETURNS app.posts LANGUAGE plpgsql SET search_path = app, pg_temp AS $$
			DECLARE p posts;
			BEGIN
				PERFORM pgbridge.call('app.create', jsonb_build_object('id', id, 'title', 'first'));
				BEGIN PERFORM pgbridge."app.fail"(other); EXCEPTION WHEN raise_exception THEN NULL; END;
				PERFORM pgbridge."app.create"(other, 'second', slug => NULL);
				SELECT * INTO p FROM posts WHERE posts.id = other;
				RETURN p;
			END $$;
		CREATE DOMAIN app.filled AS text NOT NULL;
		CREATE FUNCTION app.odd(token text, result int, lsn app.filled, "r %s 'q' $f$ """ app.posts) RETURNS app.filled LANGUAGE sql SET search_path = app AS 'SELECT $1 || $2 || $3';
		CREATE FUNCTION app.tick() RETURNS int LANGUAGE sql SET search_path = app AS 'SELECT 7'`)
	mustExec(t, conn, "SELECT pgbridge.register_action(oid) FROM pg_proc WHERE pronamespace = 'app'::regnamespace")
	return conn
}

const (
	id1 = "01a1fb84-af0f-7839-8dbe-4a6073923ae4"
	id2 = "01a1fb84-af0f-7839-8dbe-4a6073923ae5"
)

func TestCall(t *testing.T) {
	conn := callable(t)
	w := newTape(t, conn)
	create := func(values string) []string {
		return []string{`c ["app.create",["id","title","n","slug"],[` + values + `]]`, "I app.posts", "e"}
	}
	tests := []struct {
		name, call, result string
		want               [][]string
	}{
		{"call", `pgbridge.call('app.create', '{"id": "` + id1 + `", "title": "A \"b\" \\ ü", "n": 12, "slug": null}')`, `"` + id1 + `"`, [][]string{create(`"` + id1 + `", "A \"b\" \\ ü", "12", null`)}},
		{"typed", `pgbridge."app.create"('` + id1 + `', 'x', 1, '')`, id1, [][]string{create(`"` + id1 + `", "x", "1", ""`)}},
		{"typed, by name", `pgbridge."app.create"(title => 'x', id => '` + id1 + `', slug => 's')`, id1, [][]string{create(`"` + id1 + `", "x", "42", "s"`)}},
		{"defaults", `pgbridge.call('app.create', jsonb_build_object('id', '` + id1 + `', 'title', 'x'))`, `"` + id1 + `"`, [][]string{create(`"` + id1 + `", "x", "42", "none"`)}},
		{
			"odd names", `pgbridge.call('app.odd', '{"token": "a", "result": 1, "lsn": "b", "r %s ''q'' $f$ \"": {"title": "x, y"}}')`, `"a1b"`,
			[][]string{{`c ["app.odd",["token","result","lsn","r %s 'q' $f$ \""],["a", "1", "b", "(,\"x, y\",,)"]]`, "e"}},
		},
		{"no parameters", `pgbridge.call('app.tick')`, "7", [][]string{{`c ["app.tick",[],[]]`, "e"}}},
		{"no parameters, given", `pgbridge.call('app.tick', '{}')`, "7", [][]string{{`c ["app.tick",[],[]]`, "e"}}},
		{
			"nested", `pgbridge.call('app.twice', '{"id": "` + id1 + `", "other": "` + id2 + `"}')`, `{"n": 42, "id": "` + id2 + `", "slug": null, "title": "second"}`,
			[][]string{append(append(append([]string{`c ["app.twice",["id","other"],["` + id1 + `", "` + id2 + `"]]`},
				create(`"`+id1+`", "first", "42", "none"`)...), create(`"`+id2+`", "second", "42", null`)...), "e")},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got string
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got = queryText(t, tx, "SELECT ("+test.call+")::text"); got != test.result {
				t.Errorf("got result %s, want %s", got, test.result)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.want(t, test.want...)
			mustExec(t, conn, "DELETE FROM app.posts")
			w.read(t)
		})
	}
}

func TestCallRefuses(t *testing.T) {
	conn := callable(t)
	w := newTape(t, conn)
	const hint = "The action is app.create(id uuid, title text, n integer, slug text). Give null where there is no value."
	tests := []struct{ name, call, want, hint string }{
		{"name", `'app.nope', '{}'`, "there is no action app.nope", "pgbridge.actions"},
		{"signature", `'app.tick()', '{}'`, "there is no action app.tick()", "pgbridge.actions"},
		{"NULL", `NULL, '{}'`, "there is no action", "pgbridge.actions"},
		{"unknown", `'app.create', '{"id": null, "title": "x", "body": 1}'`, "app.create: there is no parameter body", hint},
		{"missing", `'app.create', '{"n": 1}'`, "app.create: parameter id, title is missing", hint},
		{"array", `'app.create', '["id", "title", "n", "slug"]'`, "app.create: the arguments are no JSON object", hint},
		{"scalar", `'app.create', '"id"'`, "app.create: the arguments are no JSON object", hint},
		{"no arguments", `'app.create', NULL`, "app.create: the arguments are no JSON object", hint},
		{"no parameters", `'app.tick', '{"n": 1}'`, "app.tick: there is no parameter n", "The action is app.tick()."},
		{"type", `'app.create', '{"id": "1", "title": "x", "n": 1, "slug": ""}'`, `invalid input syntax for type uuid: "1"`, ""},
		{"type among defaults", `'app.create', '{"id": null, "title": "x", "n": "y"}'`, `invalid input syntax for type integer: "y"`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := conn.Exec(t.Context(), "SELECT pgbridge.call("+test.call+")")
			message, hint := refusal(err)
			if !strings.Contains(message, test.want) || !strings.Contains(hint, test.hint) {
				t.Errorf("got %v, hint %q, want %q, hint %q", err, hint, test.want, test.hint)
			}
		})
	}
	w.want(t)
}

// What was rolled back leaves no mark, and marks stand around the rows of their
// call wherever savepoints are.
func TestCallsAndSavepoints(t *testing.T) {
	conn := callable(t)
	w := newTape(t, conn)
	mustExec(t, conn, `BEGIN;
		INSERT INTO app.posts (id, title) VALUES (gen_random_uuid(), 'before');
		SAVEPOINT a;
		SELECT pgbridge."app.create"('`+id1+`', 'undone');
		ROLLBACK TO a;
		SELECT pgbridge."app.create"('`+id1+`', 'kept');
		RELEASE a;
		SAVEPOINT b;
		SELECT pgbridge.call('app.tick');
		RELEASE b;
		INSERT INTO app.posts (id, title) VALUES (gen_random_uuid(), 'after');
		COMMIT`)
	if _, err := conn.Exec(t.Context(), "SELECT pgbridge.call('app.create', '{\"id\": \""+id1+"\", \"title\": \"again\"}')"); err == nil {
		t.Error("the same key twice, want an error")
	}
	if _, err := conn.Exec(t.Context(), "SELECT pgbridge.\"app.fail\"('"+id2+"')"); err == nil {
		t.Error("app.fail, want an error")
	}
	// A statement that calls many times: one after the other.
	mustExec(t, conn, `SELECT pgbridge."app.create"(md5(i::text)::uuid, i::text, i) FROM generate_series(1, 2) i`)
	w.want(t,
		[]string{"I app.posts", `c ["app.create",["id","title","n","slug"],["` + id1 + `", "kept", "42", "none"]]`, "I app.posts", "e", `c ["app.tick",[],[]]`, "e", "I app.posts"},
		[]string{
			`c ["app.create",["id","title","n","slug"],["c4ca4238-a0b9-2382-0dcc-509a6f75849b", "1", "1", "none"]]`, "I app.posts", "e",
			`c ["app.create",["id","title","n","slug"],["c81e728d-9d4c-2f63-6f06-7f89cc14862c", "2", "2", "none"]]`, "I app.posts", "e",
		})
}

// The text of a value in a mark is what the stream has for it in a row, whatever
// the settings of the session that calls.
func TestCallValues(t *testing.T) {
	const other = `SET LOCAL datestyle = 'German, DMY'; SET LOCAL intervalstyle = 'sql_standard'; SET LOCAL timezone = 'Europe/Berlin'; SET LOCAL extra_float_digits = -3;
		SET LOCAL bytea_output = 'escape'; SET LOCAL search_path = app, public; SET LOCAL quote_all_identifiers = on`
	types := []struct{ typ, literal string }{
		{"bool", "true"},
		{`"char"`, "x"},
		{"int2", "-5"},
		{"int8", "9223372036854775807"},
		{"numeric", "123456789012345678901234567890.1234567890"},
		{"numeric", "NaN"},
		{"text", "a \n \" \\ ü \u2028 "},
		{"varchar", " v "},
		{"bpchar", "ab "},
		{"name", "n"},
		{"uuid", id1},
		{"json", `{"a": [1.0], "b": "x"}`},
		{"jsonb", `{"a": [1.0], "b": "x"}`},
		{"bytea", `\x00ff10`},
		{"date", "2026-02-03"},
		{"date", "0044-03-15 BC"},
		{"time", "10:20:30.5"},
		{"timetz", "10:20:30+05"},
		{"timestamp", "2026-02-03 04:05:06.789"},
		{"timestamptz", "2026-02-03 04:05:06.789+00"},
		{"timestamptz", "infinity"},
		{"interval", "1 year 2 mons -3 days 04:05:06.5"},
		{"float8", "0.1234567890123456789"},
		{"float4", "1.1"},
		{"money", "12.50"},
		{"inet", "10.0.0.1"},
		{"cidr", "10.0.0.0/8"},
		{"macaddr", "08:00:2b:01:02:03"},
		{"bit(3)", "101"},
		{"xml", "<a>é</a>"},
		{"tsvector", "'a':1 'b':2"},
		{"pg_lsn", "16/B374D848"},
		{"regclass", "app.posts"},
		{"regtype", "app.mood"},
		{"point", "(0.1,0.25)"},
		{"app.mood", "Very cross"},
		{"app.mood[]", `{calm,"Very cross",NULL}`},
		{"int[]", "{1,NULL}"},
		{"text[]", `{{a,"b,c"},{"",NULL}}`},
		{"timestamptz[]", `{"2026-02-03 04:05:06+00"}`},
		{"int4range", "[1,5)"},
		{"tstzrange", `["2026-02-03 04:05:06+00",)`},
		{"nummultirange", "{[1,2),[3,)}"},
		{"tstzmultirange", `{["2026-02-03 04:05:06+00",)}`},
		{"app.at", "2026-02-03 04:05:06+00"},
		{"app.short", "abc"},
		{"app.moods", "{calm}"},
		{"app.plain", `(1,"a ""b"", c",calm,t)`},
		{"app.plain", `(,,,)`},
		{"app.plain[]", `{"(1,a,calm,t)"}`},
		{"app.dated", `(2026-02-03,"{""(1,a,calm,t)""}")`},
		{"app.plain2", `(1,,,f)`},
	}
	_, conn := migrated(t)
	application(t, conn, `
		CREATE DOMAIN app.at AS timestamptz; CREATE DOMAIN app.short AS text CHECK (length(value) < 5); CREATE DOMAIN app.moods AS app.mood[];
		CREATE TYPE app.plain AS (a int, b text, m app.mood, ok bool); CREATE TYPE app.dated AS (d date, p app.plain[]); CREATE DOMAIN app.plain2 AS app.plain`)
	for i, v := range types {
		mustExec(t, conn, fmt.Sprintf(`CREATE TABLE app.t%[1]d (v %[2]s);
			CREATE FUNCTION app.f%[1]d(v %[2]s) RETURNS void LANGUAGE plpgsql SET search_path = app, pg_temp AS 'BEGIN INSERT INTO t%[1]d VALUES (v); END';
			REVOKE EXECUTE ON FUNCTION app.f%[1]d FROM PUBLIC; SELECT pgbridge.register_action('app.f%[1]d'::regproc)`, i, v.typ))
	}
	w := newTape(t, conn)
	for i, v := range types {
		t.Run(v.typ, func(t *testing.T) {
			want := queryText(t, conn, fmt.Sprintf("SELECT to_json(format('%%s', $1::text::%s))::text", v.typ), v.literal) // under the pinned settings
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback(t.Context())
			mustExec(t, tx, other)
			literal := queryText(t, tx, "SELECT quote_literal($1)", v.literal)
			mustExec(t, tx, fmt.Sprintf(`SELECT pgbridge."app.f%d"(%s)`, i, literal))
			as := "text"
			if strings.HasPrefix(v.typ, "json") { // a JSON string would be just that
				as = v.typ
			}
			mustExec(t, tx, fmt.Sprintf(`SELECT pgbridge.call('app.f%d', jsonb_build_object('v', %s::%s))`, i, literal, as))
			if !slices.Contains([]string{`"char"`, "float8", "float4", "point"}, v.typ) { // as JSON, which is exact
				mustExec(t, tx, fmt.Sprintf(`SELECT pgbridge.call('app.f%[1]d', jsonb_build_object('v', v)) FROM (SELECT v FROM app.t%[1]d LIMIT 1) t`, i))
			}
			mustExec(t, tx, fmt.Sprintf(`SELECT pgbridge.call('app.f%d', '{"v": null}')`, i))
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, tx := range w.read(t) {
				for k, line := range tx {
					if k == len(tx)-3 {
						want = "null"
					}
					if k%3 == 0 && line != fmt.Sprintf(`c ["app.f%d",["v"],[%s]]`, i, want) {
						t.Errorf("got %s, want value %s", line, want)
					}
				}
			}
			stored := fmt.Sprintf("SELECT count(DISTINCT format('%%s', v))::text FROM app.t%d WHERE num_nonnulls(v) = 1", i)
			if n := queryText(t, conn, stored); n != "1" {
				t.Errorf("%s different values arrived, want 1", n)
			}
		})
	}
}

func TestNewID(t *testing.T) {
	_, conn := migrated(t)
	before := time.Now().UnixMilli() - 1
	rows, err := conn.Query(t.Context(), "SELECT pgbridge.new_id()::text, pg_sleep(0.002) FROM generate_series(1, 20)")
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for rows.Next() {
		var id string
		if err := rows.Scan(&id, nil); err != nil {
			t.Fatal(err)
		}
		var ms int64
		if _, err := fmt.Sscanf(id[:8]+id[9:13], "%x", &ms); err != nil || ms < before || ms > time.Now().UnixMilli()+1 {
			t.Errorf("%s is of time %d, want after %d", id, ms, before)
		}
		if id[14] != '7' || !strings.ContainsRune("89ab", rune(id[19])) {
			t.Errorf("%s: want version 7 and variant 10", id)
		}
		if id <= last {
			t.Errorf("%s comes after %s", id, last)
		}
		last = id
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
}
