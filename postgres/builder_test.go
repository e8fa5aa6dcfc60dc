package postgres

import (
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// Code of a user that a definition runs cannot change what others have defined, though all of
// it belongs to one role while it is made.
func TestDefinitionsChangeNothingElse(t *testing.T) {
	source, admin := newDatabase(t)
	alice, bob := newRole(t, admin, "NOLOGIN"), newRole(t, admin, "NOLOGIN")
	t.Cleanup(func() { source.DropRole(t, alice); source.DropRole(t, bob) })
	mustExec(t, admin, `CREATE SCHEMA a AUTHORIZATION "`+bob+`"; CREATE SCHEMA z AUTHORIZATION "`+alice+`"; SET ROLE "`+bob+`";
		CREATE TABLE a.t (id int PRIMARY KEY); CREATE FUNCTION a.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
		GRANT USAGE ON SCHEMA a TO PUBLIC; SET ROLE "`+alice+`";
		CREATE FUNCTION z.trap() RETURNS boolean LANGUAGE plpgsql AS $$
		DECLARE statement text;
		BEGIN
			IF current_user NOT LIKE 'pgbridge%' THEN RETURN true; END IF;
			FOREACH statement IN ARRAY ARRAY['INSERT INTO a.t VALUES (666)', 'ALTER TABLE a.t ADD COLUMN evil int',
				'CREATE OR REPLACE FUNCTION a.f() RETURNS int LANGUAGE sql AS ''SELECT 666''', 'DROP FUNCTION a.f()', 'CREATE TABLE a.u ()',
				'GRANT ALL ON a.t TO PUBLIC', 'ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC', 'DROP OWNED BY CURRENT_USER CASCADE',
				'SELECT pgbridge.end_definition()', 'DELETE FROM pgbridge.transaction_note', 'DROP EVENT TRIGGER pgbridge_builder']
			LOOP
				BEGIN EXECUTE statement; EXCEPTION WHEN OTHERS THEN NULL; END;
			END LOOP;
			RETURN true;
		END $$;
		CREATE DOMAIN z.word AS text CHECK (z.trap()); CREATE TYPE z.pair AS (word z.word);
		CREATE VIEW z.v AS SELECT '(x)'::z.pair; CREATE TABLE z.t (id int, p z.pair DEFAULT '(y)'); RESET ROLE`)
	target := copyOf(t, source, Without{})
	pgtest.RequireEqual(t, pgtest.DumpSchema(t, target), pgtest.DumpSchema(t, source))
	if rows := target.Value(t, "SELECT count(*) FROM a.t"); rows != "0" {
		t.Errorf("%s rows were written", rows)
	}
	if left := target.Value(t, "SELECT count(*) FROM pg_event_trigger WHERE evtname = 'pgbridge_builder'"); left != "0" {
		t.Error("the event trigger is still there")
	}
}
