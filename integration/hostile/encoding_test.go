//go:build hostile

package hostile

import (
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// A database in another encoding than UTF8 publishes, follows, and is restored.
func TestEncodings(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"LATIN1", "WIN1252"} {
		t.Run(encoding, func(t *testing.T) {
			cluster := pgtest.Start(t, pgtest.Config{NoSync: true})
			s := newSourceOn(t, databaseIn(t, cluster, encoding))
			s.settle(t)
			s.follower = databaseIn(t, cluster, encoding)
			s.there = administer(s.follower, s.archive)
			s.there.Run(t, initArgs("--join", s.id)...)
			s.reader = run(t, s.there, s.follower)
			s.source.Exec(t, `SET client_encoding = UTF8; CREATE TABLE app."Straße" (id int PRIMARY KEY, v text DEFAULT 'é'); INSERT INTO app."Straße" VALUES (1, 'grüße'), (2, DEFAULT); COMMENT ON TABLE app."Straße" IS 'é'`)
			s.source.Exec(t, `SET client_encoding = UTF8; CREATE FUNCTION app."größe"(id int, v text) RETURNS void LANGUAGE sql SET search_path = app, pg_temp AS 'INSERT INTO "Straße" VALUES (id, v)';
				REVOKE EXECUTE ON FUNCTION app."größe"(int, text) FROM PUBLIC; SELECT pgbridge.register_action('app."größe"(int,text)'); SELECT pgbridge.call('app."größe"', '{"id": 3, "v": "ähnlich"}')`)
			s.settle(t)
			s.requireEqual(t, s.follower)
			restored := databaseIn(t, cluster, encoding)
			administer(restored, s.archive).Run(t, "restore", "--db-id", s.id)
			s.requireEqual(t, restored)
		})
	}
}

// databaseIn makes a database with an encoding.
func databaseIn(t testing.TB, cluster *pgtest.Cluster, encoding string) *pgtest.DB {
	t.Helper()
	db, other := cluster.Database(t), cluster.Database(t)
	other.Exec(t, `DROP DATABASE "`+db.Name+`"`)
	other.Exec(t, `CREATE DATABASE "`+db.Name+`" TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' ENCODING '`+encoding+`'`)
	return db
}

// Every function of schema pgbridge searches pg_temp last, or sets no path; no
// function is for everybody, and all have one owner.
func TestFunctionsOfTheSchema(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	administer(db, "dir://"+t.TempDir()).WithKey(t).Run(t, initArgs("--name", "walk")...)
	for _, f := range db.Query(t, `SELECT p.oid::regprocedure, f.fault FROM pg_proc p CROSS JOIN LATERAL (
			SELECT 'searches ' || c FROM unnest(p.proconfig) AS c WHERE c LIKE 'search_path=%' AND c NOT LIKE '%pg_temp'
			UNION ALL SELECT 'is for everybody' WHERE has_function_privilege('public', p.oid, 'EXECUTE')
			UNION ALL SELECT 'belongs to ' || p.proowner::regrole WHERE p.proowner <> (SELECT nspowner FROM pg_namespace WHERE oid = p.pronamespace)) AS f(fault)
		WHERE p.pronamespace = 'pgbridge'::regnamespace ORDER BY 1`) {
		t.Errorf("%s %s", f[0], f[1])
	}
}
