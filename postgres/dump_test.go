package postgres

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/pgbridge/pgbridge/action"
)

func findDump(t *testing.T, conn Querier) Dump {
	t.Helper()
	d, err := FindDump(t.Context(), major(t, conn))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fakeDump makes a program that answers --version as given, and writes its
// arguments and environment to files beside it.
func fakeDump(t *testing.T, dir, version string) string {
	t.Helper()
	path := filepath.Join(dir, "pg_dump")
	script := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = --version ]; then echo '%s'; exit; fi\n"+
		"printf '%%s\\n' \"$@\" >'%[2]s.args'; env >'%[2]s.env'\necho 'complaint one' >&2; echo two >&2; exit 1\n", version, path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFindDump(t *testing.T) {
	root := t.TempDir()
	for _, version := range []string{"14.23", "16.4 (Debian 16.4-1)", "18beta2"} {
		fakeDump(t, filepath.Join(root, "lib", version[:2], "bin"), "pg_dump (PostgreSQL) "+version)
	}
	fakeDump(t, filepath.Join(root, "other"), "some other program")
	// As Debian does: what is in PATH is a link to a wrapper.
	wrapper := filepath.Join(root, "share", "pg_wrapper")
	if err := os.Rename(filepath.Dir(fakeDump(t, filepath.Join(root, "wrapped"), "pg_dump (PostgreSQL) 18.1")), filepath.Dir(wrapper)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(root, "share", "pg_dump"), wrapper); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "usr"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(wrapper, filepath.Join(root, "usr", "pg_dump")); err != nil {
		t.Fatal(err)
	}
	path14 := filepath.Join(root, "lib", "14", "bin", "pg_dump")
	t.Setenv("PATH", filepath.Join(root, "usr")+":relative:"+filepath.Join(root, "other")+":"+filepath.Dir(path14))
	old := dumpFolders
	dumpFolders = []string{filepath.Join(root, "lib", "*", "bin")}
	defer func() { dumpFolders = old }()

	for major, want := range map[int]string{13: "14.23", 14: "14.23", 15: "16.4", 16: "16.4", 17: "18beta2", 18: "18beta2"} {
		got, err := FindDump(t.Context(), major)
		if err != nil || got.Version != want || got.Path != filepath.Join(root, "lib", want[:2], "bin", "pg_dump") {
			t.Errorf("for server %d: got %+v, %v, want %s", major, got, err, want)
		}
	}
	_, err := FindDump(t.Context(), 19)
	for _, want := range []string{"pg_dump 19 or newer", path14 + " (14.23)", "(18beta2)", "postgresql-client-19", DumpVariable} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("for server 19: got %v, want it to say %q", err, want)
		}
	}

	t.Setenv(DumpVariable, path14)
	if got, err := FindDump(t.Context(), 14); err != nil || got.Path != path14 || got.Major != 14 {
		t.Errorf("with %s: got %+v, %v, want %s", DumpVariable, got, err, path14)
	}
	if _, err := FindDump(t.Context(), 15); err == nil || !strings.Contains(err.Error(), "14.23") || !strings.Contains(err.Error(), DumpVariable) {
		t.Errorf("with %s too old: got %v, want an error with the version", DumpVariable, err)
	}
	for _, path := range []string{filepath.Join(root, "nothing"), filepath.Join(root, "other", "pg_dump")} {
		t.Setenv(DumpVariable, path)
		if _, err := FindDump(t.Context(), 14); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("with %s wrong: got %v, want an error with the path", DumpVariable, err)
		}
	}
}

func TestDumpKeepsThePasswordOutOfItsArguments(t *testing.T) {
	path := fakeDump(t, t.TempDir(), "pg_dump (PostgreSQL) 15.1")
	const url = "postgres://us%20er:sEcReT@db.example:6543,db2/My%20App?sslmode=require&default_query_exec_mode=exec&pass%77ord=sEcReT" +
		"&options=-c%20role%3Dx&lc_time=C"
	_, err := dumpSection(t.Context(), Dump{Path: path}, url, postData, "0000-1")
	if err == nil || !strings.Contains(err.Error(), "complaint one; two") || strings.Contains(err.Error(), "sEcReT") {
		t.Errorf("got error %v, want the complaint of the program and no password", err)
	}
	args, err := os.ReadFile(path + ".args")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(args), "sEcReT") {
		t.Errorf("the password is among the arguments:\n%s", args)
	}
	lines := strings.Fields(string(args))
	for _, want := range []string{
		"--dbname=postgresql://us%20er@db.example:6543,db2/My%20App?sslmode=require", "--section=post-data", "--snapshot=0000-1",
		"--exclude-schema=pgbridge", "--schema-only", "--use-set-session-authorization", "--no-publications", "--no-subscriptions", "--no-security-labels",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("arguments %q, want %s", lines, want)
		}
	}
	env, err := os.ReadFile(path + ".env")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"PGPASSWORD=sEcReT\n", "PGOPTIONS=-c role=x ", ` -c default_transaction_isolation=read\ committed `, " -c timezone=UTC", " -c lc_time=C "} {
		if !strings.Contains(string(env), want) {
			t.Errorf("environment without %q:\n%s", want, env)
		}
	}
	if _, err := dumpSection(t.Context(), Dump{Path: path}, "postgres://u@db/app?sslpassword=sEcReT", preData, ""); err == nil || strings.Contains(err.Error(), "sEcReT") {
		t.Errorf("sslpassword: got %v, want an error without it", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := dumpSection(ctx, Dump{Path: path}, url, preData, ""); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("canceled: got %v, want context canceled", err)
	}
}

// richSchema has what makes dumping and loading hard.
const richSchema = zoo + `
CREATE SCHEMA helpers; COMMENT ON SCHEMA helpers IS 'with; semicolon';
CREATE TYPE "My App".mood AS ENUM ('good', 'it''s; bad');
CREATE DOMAIN "My App".positive AS int CHECK (VALUE > 0);
CREATE FUNCTION helpers.body() RETURNS text LANGUAGE plpgsql AS $_$
BEGIN
	-- Name: trap; Type: EVENT TRIGGER; Schema: -; Owner: -
	RETURN $$SELECT pg_catalog.set_config('x', 'y', false); SET x = y;
\unrestrict aaaa
$$; -- mentions later.thing
END $_$;
CREATE FUNCTION helpers.atomic(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT a; SELECT CASE WHEN a > 0 THEN 1 ELSE 2 END; END;
SET check_function_bodies = off; CREATE FUNCTION helpers.early() RETURNS int LANGUAGE sql AS 'SELECT count(*)::int FROM "My App".rich';
CREATE TABLE "My App".rich (
	id bigint GENERATED BY DEFAULT AS IDENTITY (START 7) PRIMARY KEY,
	mood "My App".mood DEFAULT 'it''s; bad', n "My App".positive, cost money DEFAULT 12.5, at timestamptz DEFAULT '2020-01-01 10:00+02',
	raw bytea DEFAULT '\xdead', wait interval DEFAULT '1 day 2 hours', doc xml DEFAULT '<a/><b/>', f float8 DEFAULT 0.1::float8 + 0.2,
	d date CHECK (d > '2020-02-01'), parent bigint REFERENCES "My App".rich DEFERRABLE, tags text[] DEFAULT '{a,NULL}',
	r tstzrange, EXCLUDE USING gist (r WITH &&));
CREATE INDEX ON "My App".rich ((n + 1), raw) WHERE n > 3;
CREATE FUNCTION helpers.fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER "always fires" AFTER INSERT ON "My App".rich FOR EACH ROW EXECUTE FUNCTION helpers.fire();
ALTER TABLE "My App".rich ENABLE ALWAYS TRIGGER "always fires";
CREATE RULE two AS ON INSERT TO public.bare DO ALSO (NOTIFY one; NOTIFY two);
CREATE POLICY mine ON "My App".rich USING (id > 0); ALTER TABLE "My App".rich ENABLE ROW LEVEL SECURITY;
CREATE VIEW helpers.looks AS SELECT * FROM "My App".rich;
CREATE STATISTICS "My App".st ON id, n FROM "My App".rich;
COMMENT ON TABLE "My App".rich IS E'two\nlines; and a \\ backslash';
CREATE EXTENSION hstore SCHEMA helpers; COMMENT ON EXTENSION hstore IS 'ours';
CREATE TABLE helpers.h (h helpers.hstore);
CREATE USER MAPPING FOR PUBLIC SERVER nowhere OPTIONS (password 'sEcReT');
CREATE FUNCTION helpers.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER "watch; ddl" ON ddl_command_end EXECUTE FUNCTION helpers.on_ddl(); ALTER EVENT TRIGGER "watch; ddl" DISABLE; COMMENT ON EVENT TRIGGER "watch; ddl" IS 'x';
SELECT lo_create(4711);
CREATE PUBLICATION mine FOR TABLE "My App".rich;
GRANT SELECT ON "My App".rich TO PUBLIC;
`

func dumpBoth(t *testing.T, d Dump, url, snapshot string) (pre, post string) {
	t.Helper()
	pre, post, err := DumpSchema(t.Context(), d, url, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	return pre, post
}

func TestSchemaRoundTrip(t *testing.T) {
	db, source := newDatabase(t)
	if err := Install(t.Context(), source); err != nil {
		t.Fatal(err)
	}
	mustExec(t, source, richSchema)
	d := findDump(t, source)
	pre, post := dumpBoth(t, d, db.URL(), "")

	for _, bad := range []string{"sEcReT", "watch", "pgbridge", "PUBLICATION", "COMMENT ON EXTENSION", "search_path = ", "statement_timeout", d.Version, "4711"} {
		if strings.Contains(pre+post, bad) {
			t.Errorf("the schema has %q", bad)
		}
	}
	for _, want := range []string{"mentions later.thing", `'2020-01-01 08:00:00+00'`, `'\xdead'`, "12.5", "REPLICA IDENTITY FULL", "CREATE TABLE helpers.h"} {
		if !strings.Contains(pre, want) {
			t.Errorf("pre-data has no %q", want)
		}
	}
	for _, want := range []string{"ENABLE ALWAYS TRIGGER", "CREATE POLICY", "CREATE INDEX", "FOREIGN KEY"} {
		if !strings.Contains(post, want) {
			t.Errorf("post-data has no %q", want)
		}
	}

	target := loadInto(t, pre, post)
	pre2, post2 := dumpBoth(t, d, target, "")
	if pre2 != pre {
		t.Errorf("pre-data of the copy differs:\n%s", firstDifference(pre, pre2))
	}
	if post2 != post {
		t.Errorf("post-data of the copy differs:\n%s", firstDifference(post, post2))
	}
	if SchemaDigest(pre, post) != SchemaDigest(pre2, post2) || SchemaDigest(pre, post) == SchemaDigest(pre+post, "") {
		t.Error("the digest does not name the schema")
	}
}

func loadInto(t *testing.T, pre, post string) (url string) {
	t.Helper()
	db, conn := newDatabase(t)
	for _, text := range []string{pre, post, ""} {
		err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error { return LoadSchema(t.Context(), tx, text, Loading{}) })
		if err != nil {
			t.Fatal(err)
		}
	}
	for setting, want := range map[string]string{"search_path": "pg_catalog,pg_temp", "check_function_bodies": "on", "default_table_access_method": "heap"} {
		if got := queryText(t, conn, "SELECT current_setting($1)", setting); got != want {
			t.Errorf("after loading %s is %q, want %q", setting, got, want)
		}
	}
	return db.URL()
}

func firstDifference(a, b string) string {
	la, lb := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(la), len(lb)) {
		if la[i] != lb[i] {
			return fmt.Sprintf("line %d:\n%s\n%s", i+1, la[i], lb[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(la), len(lb))
}

// Settings of the database do not change the text of its schema, and the dump
// sees what the exported snapshot sees.
func TestDumpUnderHostileSettingsAndSnapshot(t *testing.T) {
	db, conn := newDatabase(t)
	mustExec(t, conn, richSchema)
	d := findDump(t, conn)
	pre, post := dumpBoth(t, d, db.URL(), "")

	tx, err := conn.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	snapshot := queryText(t, tx, "SELECT pg_export_snapshot()")
	other := connect(t, db.URL())
	mustExec(t, other, "CREATE TABLE public.too_late (x int)")
	setHostile(t, other, "ALTER DATABASE "+action.QuoteIdent(db.Name), hostile)
	pre2, post2 := dumpBoth(t, d, db.URL(), snapshot)
	if pre2 != pre {
		t.Errorf("pre-data differs: %s", firstDifference(pre, pre2))
	}
	if post2 != post {
		t.Errorf("post-data differs: %s", firstDifference(post, post2))
	}
}

func TestLoadSchemaErrors(t *testing.T) {
	_, conn := newDatabase(t)
	for _, tt := range []struct{ name, text, want string }{
		{"fails in the middle", "CREATE TABLE public.a ();\n\nCREATE TABLE public.b (x nowhere.thing);\n\nCREATE TABLE public.c ();\n\n", `in: CREATE TABLE public.b (x nowhere.thing)`},
		{"fails at first", "CREATE TABLE public.b (x nowhere.thing);", "in: CREATE TABLE public.b"},
		{"does not parse", "CREATE TABLE public.b (;)", "syntax error"},
		{"not closed", "CREATE TABLE public.b ('", "not closed"},
		{"not a schema", "CREATE TABLE public.b (); DROP TABLE public.b", "does not belong into a schema: DROP TABLE public.b"},
		{"ends the transaction", "COMMIT", "does not belong into a schema: COMMIT"},
		{"a setting", "SET ROLE other", "does not belong"},
		{"an event trigger", "CREATE EVENT TRIGGER x ON ddl_command_end EXECUTE FUNCTION f()", "does not belong"},
		{"a role that is not there", "CREATE TABLE public.b (); CREATE POLICY p ON public.b TO nobody_here", "create the roles that the schema names (nobody_here)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error { return LoadSchema(t.Context(), tx, tt.text, Loading{}) })
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if got := queryText(t, conn, "SELECT coalesce(string_agg(relname, ' '), '') FROM pg_class WHERE relnamespace = 'public'::regnamespace"); got != "" {
				t.Errorf("left behind: %s", got)
			}
		})
	}
}

// A database that a role without superuser owns can be dumped and loaded by it.
func TestSchemaWithoutSuperuser(t *testing.T) {
	db, admin := newDatabase(t)
	role := newRole(t, admin, "LOGIN")
	mustExec(t, admin, "ALTER DATABASE "+action.QuoteIdent(db.Name)+" OWNER TO "+action.QuoteIdent(role))
	conn := connect(t, db.URLAs(role))
	mustExec(t, conn, `CREATE EXTENSION hstore SCHEMA public; CREATE TABLE public.t (h public.hstore, x int PRIMARY KEY)`)
	mustExec(t, admin, "COMMENT ON SCHEMA public IS 'changed'")
	pre, post := dumpBoth(t, findDump(t, conn), db.URLAs(role), "")

	other, admin2 := newDatabase(t)
	mustExec(t, admin2, "ALTER DATABASE "+action.QuoteIdent(other.Name)+" OWNER TO "+action.QuoteIdent(role)+"; CREATE EXTENSION hstore SCHEMA public")
	err := pgx.BeginFunc(t.Context(), connect(t, other.URLAs(role)), func(tx pgx.Tx) error { return LoadSchema(t.Context(), tx, pre+post, Loading{}) })
	if err != nil {
		t.Errorf("load: %v", err)
	}
}

// What releases other than the one installed write around the statements.
func TestSchemaText(t *testing.T) {
	const head = "--\n-- PostgreSQL database dump\n--\n\n"
	const settings = "SET statement_timeout = 0;\nSET transaction_timeout = 0;\nSELECT pg_catalog.set_config('search_path', '', false);\nSET row_security = off;\n\n"
	const table = "--\n-- Name: t; Type: TABLE; Schema: public; Owner: -\n--\n\nCREATE TABLE public.t (\n    x integer\n);\n\n\n"
	const body = "CREATE FUNCTION public.f() RETURNS text AS $$\n\\unrestrict bbb\n\\restrict ccc\n$$;\n\n"
	const want = "CREATE TABLE public.t (\n    x integer\n);\n\n"
	for _, tt := range []struct{ name, dump, want string }{
		{"old release", head + settings + table + head, want},
		{"new release", head + "\\restrict aaa\n\n-- Dumped by 18\n\n" + settings + table + body + "--\n-- complete\n--\n\n\\unrestrict aaa\n\n", want + body},
		{"nothing", head + settings, ""},
		{
			"an old server by a new release", "\\restrict aaa\n\n-- Dumped from database version 14.3\n-- Dumped by pg_dump version 15.18\n\n" + settings + "ALTER SCHEMA public OWNER TO x;\n\\unrestrict aaa\n",
			"ALTER SCHEMA public OWNER TO x;\n\nREVOKE CREATE ON SCHEMA public FROM PUBLIC;\n\n",
		},
		{
			"a new server", "-- Dumped from database version 15.3\n-- Dumped by pg_dump version 16.1\n\n" + settings + "ALTER SCHEMA public OWNER TO x;\n",
			"ALTER SCHEMA public OWNER TO x;\n\n",
		},
		{"access method", settings + "SET default_tablespace = '';\n\nSET default_table_access_method = columnar;\n\n" + table, "SET default_table_access_method = columnar;\n\n" + want},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, err := dumped(tt.dump)
			if got := SchemaText(all); err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	if _, err := dumped("INSERT INTO t VALUES (1);"); err == nil || !strings.Contains(err.Error(), "INSERT INTO t") {
		t.Errorf("got %v, want an error that shows the statement", err)
	}
}
