package ddl

import "testing"

func TestRunsNothing(t *testing.T) {
	for statement, want := range map[string]bool{
		"CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public":                                                          true,
		"ALTER TABLE app.t OWNER TO alice":                                                                                  true,
		"COMMENT ON TABLE app.t IS 'x'":                                                                                     true,
		"REVOKE ALL ON SCHEMA app FROM PUBLIC":                                                                              true,
		"CREATE CAST (text AS app.k) WITH FUNCTION app.f(text)":                                                             true,
		"CREATE FUNCTION app.f(text) RETURNS text\n LANGUAGE c\n AS '$libdir/x', 'f'":                                       true,
		"CREATE FUNCTION app.f(text) RETURNS text\n LANGUAGE plpgsql LEAKPROOF\n AS $$BEGIN END$$":                          true,
		"CREATE FUNCTION app.f(text) RETURNS text\n LANGUAGE plpgsql\n AS $$BEGIN END$$":                                    false,
		"CREATE FUNCTION app.f(x app.k DEFAULT '(x)'::app.k) RETURNS text\n LANGUAGE c\n AS 'x'":                            false,
		"CREATE FUNCTION app.f(n integer DEFAULT 1, t text DEFAULT 'x,'::text) RETURNS text\n LANGUAGE internal\n AS $$f$$": true,
		"CREATE FUNCTION app.f(n integer DEFAULT 1, t integer DEFAULT app.g()) RETURNS text\n LANGUAGE c\n AS 'x'":          false,
		"CREATE FUNCTION app.f(n integer DEFAULT g()) RETURNS text\n LANGUAGE c\n AS 'x'":                                   false,
		"CREATE FUNCTION app.f(x app.leakproof) RETURNS app.support\n LANGUAGE sql\n AS 'x'":                                false,
		"CREATE FUNCTION app.f() RETURNS app.k\n LANGUAGE sql LEAKPROOF\n RETURN '(x)'::app.k":                              false,
		"CREATE FUNCTION app.f() RETURNS app.language\n LANGUAGE sql LEAKPROOF\n BEGIN ATOMIC\n SELECT 1; END":              false,
		"CREATE TABLE app.t (c app.k DEFAULT '(x)'::app.k)":                                                                 false,
		"ALTER TABLE ONLY app.t ATTACH PARTITION app.u FOR VALUES IN ('x')":                                                 false,
		"CREATE AGGREGATE app.a(text) (\n SFUNC = app.f,\n STYPE = internal\n)":                                             true,
		"CREATE AGGREGATE app.a(text) (\n SFUNC = app.f,\n STYPE = app.d,\n INITCOND = 'STYPE = internal'\n)":               false,
		"CREATE TYPE app.k AS (a int)":                                                                                      false,
		"CREATE TYPE app.k":                                                                                                 true,
		"CREATE VIEW app.extension AS SELECT 1":                                                                             false,
		"ALTER OPERATOR FAMILY app.f USING hash ADD\n FUNCTION 2 (integer, integer) app.g(integer, bigint)":                 true,
		"ALTER OPERATOR app.= (app.k, app.k) OWNER TO alice":                                                                true,
		"SELECT 1": false,
	} {
		if got := RunsNothing(statement); got != want {
			t.Errorf("%s: got %t, want %t", statement, got, want)
		}
	}
}
