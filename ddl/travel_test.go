package ddl

import "testing"

func TestTravels(t *testing.T) {
	for _, tt := range []struct{ statement, want string }{
		{"CREATE TABLE t (id int)", "CREATE TABLE t (id int)"},
		{"CREATE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX i ON t (a)"},
		{"create unique index concurrently IF NOT EXISTS i ON t (a) WHERE a > 0", "create unique index IF NOT EXISTS i ON t (a) WHERE a > 0"},
		{"CREATE INDEX /* soon */ CONCURRENTLY ON t (a) TABLESPACE fast WHERE tablespace > 0", "CREATE INDEX /* soon */ ON t (a) WHERE tablespace > 0"},
		{`CREATE INDEX "CONCURRENTLY" ON t (a)`, `CREATE INDEX "CONCURRENTLY" ON t (a)`},
		{"DROP INDEX CONCURRENTLY IF EXISTS i, j", "DROP INDEX IF EXISTS i, j"},
		{"DROP INDEX i, app.j CASCADE", "DROP INDEX IF EXISTS i, app.j CASCADE"},
		{`drop index concurrently "if"`, `drop index IF EXISTS "if"`},
		{"REFRESH MATERIALIZED VIEW CONCURRENTLY v", "REFRESH MATERIALIZED VIEW v"},
		{"ALTER TABLE p DETACH PARTITION app.q CONCURRENTLY", "ALTER TABLE p DETACH PARTITION app.q"},
		{"ALTER TABLE p DETACH PARTITION q FINALIZE", "ALTER TABLE p DETACH PARTITION q"},
		{"ALTER TABLE p DETACH PARTITION finalize", "ALTER TABLE p DETACH PARTITION finalize"},
		{"ALTER TABLE t OWNER TO joe", "ALTER TABLE t OWNER TO joe"},
		{"ALTER TABLE t ADD a numeric(3,1), OWNER TO joe, SET TABLESPACE x", "ALTER TABLE t ADD a numeric(3,1), OWNER TO joe"},
		{"ALTER TABLE ONLY t OWNER TO joe, ADD a int, SET TABLESPACE x", "ALTER TABLE ONLY t OWNER TO joe, ADD a int"},
		{"ALTER TABLE t RENAME owner TO x", "ALTER TABLE t RENAME owner TO x"},
		{"ALTER TABLE t RENAME COLUMN owner TO x", "ALTER TABLE t RENAME COLUMN owner TO x"},
		{"ALTER TABLE t SET TABLESPACE fast NOWAIT", ""},
		{"ALTER TABLE t ADD CONSTRAINT u UNIQUE (a) USING INDEX TABLESPACE fast", "ALTER TABLE t ADD CONSTRAINT u UNIQUE (a)"},
		{"CREATE TABLE t (a int) TABLESPACE fast", "CREATE TABLE t (a int)"},
		{"CREATE TABLE tablespace (a int)", "CREATE TABLE tablespace (a int)"},
		{"CREATE SCHEMA app AUTHORIZATION joe", "CREATE SCHEMA app AUTHORIZATION joe"},
		{"CREATE TABLE t (id int PRIMARY KEY USING INDEX TABLESPACE fast, u int UNIQUE USING INDEX TABLESPACE fast) TABLESPACE slow", "CREATE TABLE t (id int PRIMARY KEY , u int UNIQUE )"},
		{"CREATE TABLE t (tablespace int, UNIQUE (tablespace) USING INDEX TABLESPACE fast, CHECK (tablespace > 0))", "CREATE TABLE t (tablespace int, UNIQUE (tablespace) , CHECK (tablespace > 0))"},
		{"CREATE SCHEMA app", "CREATE SCHEMA app"},
		{
			"CREATE SCHEMA app CREATE TABLE t (a int) GRANT SELECT ON t TO joe WITH GRANT OPTION CREATE VIEW v AS SELECT 1 GRANT ALL ON v TO PUBLIC",
			"CREATE SCHEMA app CREATE TABLE t (a int) GRANT SELECT ON t TO joe WITH GRANT OPTION CREATE VIEW v AS SELECT 1 GRANT ALL ON v TO PUBLIC",
		},
		{"GRANT SELECT ON t TO joe", "GRANT SELECT ON t TO joe"},
		{"REVOKE ALL ON t FROM joe", "REVOKE ALL ON t FROM joe"},
		{"GRANT SELECT ON t TO granted WITH GRANT OPTION GRANTED BY joe", "GRANT SELECT ON t TO granted WITH GRANT OPTION"},
		{"REVOKE ALL ON t FROM joe GRANTED BY CURRENT_USER CASCADE", "REVOKE ALL ON t FROM joe CASCADE"},
		{"GRANT SELECT ON LARGE OBJECT 7 TO joe", ""},
		{"GRANT SELECT ON large TO joe", "GRANT SELECT ON large TO joe"},
		{"CREATE INDEX i ON tablespace (id)", "CREATE INDEX i ON tablespace (id)"},
		{"CREATE INDEX i ON tablespace USING hash (id) TABLESPACE fast", "CREATE INDEX i ON tablespace USING hash (id)"},
		{"CREATE TABLE x PARTITION OF tablespace FOR VALUES IN (1)", "CREATE TABLE x PARTITION OF tablespace FOR VALUES IN (1)"},
		{"CREATE UNLOGGED TABLE IF NOT EXISTS tablespace (a int)", "CREATE UNLOGGED TABLE IF NOT EXISTS tablespace (a int)"},
		{"CREATE INDEX i ON app.tablespace (id)", "CREATE INDEX i ON app.tablespace (id)"},
		{"ALTER TABLE p DETACH PARTITION app.finalize", "ALTER TABLE p DETACH PARTITION app.finalize"},
		{"GRANT CREATE ON DATABASE d TO joe", ""},
		{"GRANT joe TO jim", ""},
		{"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO joe", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO joe"},
		{"CREATE EXTENSION hstore", "CREATE EXTENSION IF NOT EXISTS hstore"},
		{"CREATE EXTENSION IF NOT EXISTS hstore SCHEMA a", "CREATE EXTENSION IF NOT EXISTS hstore SCHEMA a"},
		{"CREATE USER MAPPING FOR joe SERVER s OPTIONS (password 'x')", ""},
		{"CREATE SUBSCRIPTION s CONNECTION 'password=x' PUBLICATION p", ""},
		{"CREATE ROLE joe PASSWORD 'x'", ""},
		{"SECURITY LABEL ON TABLE t IS 'x'", ""},
		{"COMMENT ON EXTENSION e IS 'x'", ""},
		{"COMMENT ON TABLE t IS 'OWNER TO x'", "COMMENT ON TABLE t IS 'OWNER TO x'"},
		{"DROP OWNED BY joe", ""},
		{"REINDEX TABLE t", ""},
		{"SELECT 1", ""},
	} {
		if got := Travels(tt.statement); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.statement, got, tt.want)
		}
	}
}

func TestRenamedSchema(t *testing.T) {
	for _, tt := range []struct{ statement, from, to string }{
		{"ALTER SCHEMA a RENAME TO B", "a", "b"},
		{`alter schema /* x */ "A ""b""" rename to "C.d"`, `A "b"`, "C.d"},
		{"ALTER SCHEMA a OWNER TO b", "", ""},
		{"ALTER TABLE a RENAME TO b", "", ""},
	} {
		from, to, ok := RenamedSchema(tt.statement)
		if from != tt.from || to != tt.to || ok != (tt.from != "") {
			t.Errorf("%s: got %q, %q, %v", tt.statement, from, to, ok)
		}
	}
}
