package postgres

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/ddl"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// marks are the marks of statements since the last read that peers would run.
func (w *tape) marks(t *testing.T) (all []mark) {
	t.Helper()
	var script string
	for _, text := range slices.Concat(w.read(t)...) {
		if kind, payload, _ := strings.Cut(text, " "); kind == "s" {
			m := readMark(t, payload, &script)
			if m.statement = ddl.Travels(m.statement); m.statement != "" {
				all = append(all, m)
			}
		}
	}
	return all
}

// people are roles of one test. A script names them between braces: {alice}.
type people map[string]string

func newPeople(t *testing.T, admin *pgx.Conn, database string, names ...string) people {
	t.Helper()
	p := people{"database": database}
	for _, name := range names {
		p[name] = name + "_" + strings.ToLower(rand.Text()[:10])
		mustExec(t, admin, "CREATE ROLE "+p[name]+" LOGIN")
	}
	return p
}

// in puts the names of roles into a text, out the words for them.
func (p people) in(text string) string { return p.replace(text, false) }

func (p people) out(text string) string { return p.replace(text, true) }

func (p people) replace(text string, back bool) string {
	for word, name := range p {
		if back {
			text = strings.ReplaceAll(text, name, "{"+word+"}")
		} else {
			text = strings.ReplaceAll(text, "{"+word+"}", name)
		}
	}
	return text
}

// asRole runs statements, each alone, in a session of a role.
func asRole(t *testing.T, db *pgtest.DB, role string, statements ...string) {
	t.Helper()
	conn := connect(t, db.URLAs(role))
	mustExec(t, conn, "SET search_path = app, public")
	for _, s := range statements {
		if _, err := conn.PgConn().Exec(t.Context(), s).ReadAll(); err != nil {
			t.Fatalf("%s as %s: %v", s, role, err)
		}
	}
}

// stageRights is a database with objects of two owners and of a superuser.
const stageRights = `CREATE SCHEMA app; GRANT USAGE, CREATE ON SCHEMA app TO {alice}, {bob}; GRANT CREATE ON DATABASE "{database}" TO {alice}; GRANT {bob} TO {alice};
	CREATE TABLE app.a (id serial PRIMARY KEY, x int); ALTER TABLE app.a OWNER TO {alice};
	CREATE TABLE app.b (id int PRIMARY KEY, x int); ALTER TABLE app.b OWNER TO {bob};
	CREATE TABLE app.s (id int PRIMARY KEY, x int);
	CREATE FUNCTION app.f(int, text) RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION app.f OWNER TO {alice};
	CREATE FUNCTION app.act(id int) RETURNS void LANGUAGE sql SET search_path = app AS 'INSERT INTO s VALUES (id)'; REVOKE ALL ON FUNCTION app.act FROM PUBLIC;
	CREATE TYPE app.mood AS ENUM ('x'); ALTER TYPE app.mood OWNER TO {bob};
	CREATE TABLE app.parent (id int PRIMARY KEY) PARTITION BY LIST (id); ALTER TABLE app.parent OWNER TO {alice};
	CREATE FUNCTION app.by_bob() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = app AS 'BEGIN CREATE TABLE made (id int PRIMARY KEY); GRANT SELECT ON made TO SESSION_USER; END'; ALTER FUNCTION app.by_bob OWNER TO {bob}`

// Each statement says who runs it at a peer.
func TestAuthors(t *testing.T) {
	const super = "postgres"
	for _, tt := range []struct {
		name, by string
		send     []string
		want     []string // role: statement, or <object>: statement
	}{
		{"her own", "alice", []string{"CREATE TABLE t (id int PRIMARY KEY)", "ALTER TABLE t ADD y int", "DROP TABLE t"}, []string{"{alice}: CREATE TABLE t (id int PRIMARY KEY)", "{alice}: ALTER TABLE t ADD y int", "{alice}: DROP TABLE t"}},
		{
			"of a role that she is in", "alice",
			[]string{"ALTER TABLE b OWNER TO CURRENT_USER", "ALTER TABLE b OWNER TO {bob}, ADD y int", "SET ROLE {bob}; GRANT SELECT ON b TO SESSION_USER, CURRENT_USER"},
			[]string{"{alice}: ALTER TABLE b OWNER TO {alice}", "{alice}: ALTER TABLE b OWNER TO {bob}, ADD y int", "{bob}: GRANT SELECT ON b TO {alice}, {bob}"},
		},
		{
			"to a superuser", "alice",
			[]string{"ALTER TABLE a ADD y int, OWNER TO postgres", "ALTER FUNCTION f(int, text) OWNER TO {bob}"},
			[]string{"{alice}: ALTER TABLE a ADD y int", `["table",["app","a"],[]]: ALTER TABLE app.a OWNER TO CURRENT_USER`, "{alice}: ALTER FUNCTION f(int, text) OWNER TO {bob}"},
		},
		{
			"rights", "alice",
			[]string{
				"GRANT SELECT (x), INSERT ON a TO {bob} WITH GRANT OPTION GRANTED BY CURRENT_USER; REVOKE GRANT OPTION FOR INSERT ON a FROM {bob} CASCADE", "REVOKE ALL ON FUNCTION f FROM PUBLIC",
				"SET ROLE {bob}; GRANT SELECT (x) ON a TO {eve}; RESET ROLE", "GRANT USAGE ON SEQUENCE a_id_seq TO PUBLIC",
			},
			[]string{
				"{alice}: GRANT SELECT (x), INSERT ON a TO {bob} WITH GRANT OPTION", "{alice}: REVOKE GRANT OPTION FOR INSERT ON a FROM {bob} CASCADE", "{alice}: REVOKE ALL ON FUNCTION f FROM PUBLIC",
				"{bob}: GRANT SELECT (x) ON a TO {eve}", "{alice}: GRANT USAGE ON SEQUENCE a_id_seq TO PUBLIC",
			},
		},
		{
			"rights of what peers have not", "alice",
			[]string{"CREATE TEMP TABLE t (); GRANT SELECT ON t TO {bob}; GRANT SELECT ON t, a TO {bob}; SELECT lo_create(1234); GRANT SELECT ON LARGE OBJECT 1234 TO {bob}"},
			[]string{"{alice}: GRANT SELECT ON TABLE app.a TO {bob}"},
		},
		{
			"a superuser's own", super,
			[]string{"CREATE TABLE t (id serial PRIMARY KEY); ALTER TABLE t ADD y int; GRANT SELECT ON t TO {bob}; COMMENT ON COLUMN t.y IS 'y'", "DROP TABLE t"},
			[]string{": CREATE TABLE t (id serial PRIMARY KEY)", ": ALTER TABLE t ADD y int", `["table",["app","t"],[]]: GRANT SELECT ON t TO {bob}`, ": COMMENT ON COLUMN t.y IS 'y'", `["table",["app","t"],[]]: DROP TABLE t`},
		},
		{
			"a superuser's on others'", super,
			[]string{
				"ALTER TABLE a ADD y int; CREATE INDEX i ON b (x); COMMENT ON INDEX i IS 'i'; CREATE POLICY p ON a TO CURRENT_USER, {bob}; COMMENT ON POLICY p ON a IS 'p'; ALTER TYPE mood RENAME TO temper",
				"ALTER FUNCTION f(int, text) STABLE; ALTER TABLE a RENAME x TO z; CREATE VIEW v AS SELECT * FROM a; ALTER TABLE b ADD CHECK (x > 0); COMMENT ON CONSTRAINT b_x_check ON b IS 'c'",
			},
			[]string{
				"{alice}: ALTER TABLE a ADD y int", "{bob}: CREATE INDEX i ON b (x)", "{bob}: COMMENT ON INDEX i IS 'i'", "{alice}: CREATE POLICY p ON a TO postgres, {bob}", "{alice}: COMMENT ON POLICY p ON a IS 'p'", "{bob}: ALTER TYPE mood RENAME TO temper",
				"{alice}: ALTER FUNCTION f(int, text) STABLE", "{alice}: ALTER TABLE a RENAME x TO z", ": CREATE VIEW v AS SELECT * FROM a", "{bob}: ALTER TABLE b ADD CHECK (x > 0)", "{bob}: COMMENT ON CONSTRAINT b_x_check ON b IS 'c'",
			},
		},
		{
			"a superuser's drops", super,
			[]string{"DROP TABLE a, b", "DROP FUNCTION f(int, text) CASCADE", "CREATE TEMP TABLE t (); DROP TABLE t, parent; DROP TYPE mood"},
			[]string{
				`["table",["app","b"],[]]: DROP TABLE IF EXISTS app.b CASCADE`, `["table",["app","a"],[]]: DROP TABLE IF EXISTS app.a CASCADE`, `["function",["app","f"],["integer","pg_catalog.text"]]: DROP FUNCTION f(int, text) CASCADE`,
				`["table",["app","parent"],[]]: DROP TABLE IF EXISTS app.parent CASCADE`, `["type",["app.mood"],[]]: DROP TYPE mood`,
			},
		},
		{
			"a superuser gives to owners", super,
			[]string{"ALTER TABLE s ADD y int, OWNER TO {alice}; ALTER FUNCTION f(int, text) OWNER TO CURRENT_USER", "ALTER TABLE a OWNER TO {bob}", "ALTER TABLE b RENAME TO c; ALTER TABLE c OWNER TO {alice}"},
			[]string{
				`["table",["app","s"],[]]: ALTER TABLE s ADD y int`, `["table",["app","s"],[]]: ALTER TABLE app.s OWNER TO {alice}`, `["function",["app","f"],["integer","pg_catalog.text"]]: ALTER FUNCTION app.f(integer,pg_catalog.text) OWNER TO CURRENT_USER`,
				`["table",["app","a"],[]]: ALTER TABLE app.a OWNER TO {bob}`, `{bob}: ALTER TABLE b RENAME TO c`, `["table",["app","c"],[]]: ALTER TABLE app.c OWNER TO {bob}`, `["table",["app","c"],[]]: ALTER TABLE app.c OWNER TO {alice}`,
			},
		},
		{
			"a superuser's schemas", super,
			[]string{"CREATE SCHEMA x AUTHORIZATION {bob} CREATE TABLE t (id serial PRIMARY KEY) CREATE VIEW v AS SELECT 1 GRANT SELECT ON v TO CURRENT_USER", "CREATE SCHEMA AUTHORIZATION {eve}", "CREATE SCHEMA y"},
			[]string{
				": CREATE SCHEMA x CREATE TABLE t (id serial PRIMARY KEY) CREATE VIEW v AS SELECT 1 GRANT SELECT ON v TO {bob}", `["schema",["x"],[]]: ALTER SCHEMA x OWNER TO {bob}`,
				`["table",["x","t"],[]]: ALTER TABLE x.t OWNER TO {bob}`, `["view",["x","v"],[]]: ALTER VIEW x.v OWNER TO {bob}`, ": CREATE SCHEMA {eve}", `["schema",["{eve}"],[]]: ALTER SCHEMA {eve} OWNER TO {eve}`, ": CREATE SCHEMA y",
			},
		},
		{
			"her schemas", "alice",
			[]string{"CREATE SCHEMA AUTHORIZATION CURRENT_USER", "CREATE SCHEMA x AUTHORIZATION {bob}"},
			[]string{"{alice}: CREATE SCHEMA {alice} AUTHORIZATION {alice}", "{alice}: CREATE SCHEMA x AUTHORIZATION {bob}"},
		},
		{
			"a superuser's partition", super,
			[]string{"CREATE TABLE p1 PARTITION OF parent FOR VALUES IN (1)"},
			[]string{"{alice}: CREATE TABLE p1 PARTITION OF parent FOR VALUES IN (1)", `["table",["app","p1"],[]]: ALTER TABLE app.p1 OWNER TO CURRENT_USER`},
		},
		{
			"a superuser's rights", super,
			[]string{
				"GRANT SELECT ON a, b, s TO {eve}; GRANT INSERT ON a, parent TO {eve} GRANTED BY CURRENT_USER", "GRANT SELECT ON ALL TABLES IN SCHEMA app TO {eve}; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA app TO {eve}",
				"CREATE TABLE t (id int PRIMARY KEY); REVOKE ALL ON a FROM {eve}", "GRANT EXECUTE ON FUNCTION pg_ls_waldir TO {eve}; GRANT SELECT ON pgbridge.action TO {eve}", "GRANT USAGE ON TYPE mood TO {eve}; GRANT USAGE ON SCHEMA app, pgbridge TO {eve}",
			},
			[]string{
				`["table",["app","s"],[]]: GRANT SELECT ON TABLE app.s TO {eve}`, "{alice}: GRANT SELECT ON TABLE app.a TO {eve}", "{bob}: GRANT SELECT ON TABLE app.b TO {eve}", "{alice}: GRANT INSERT ON a, parent TO {eve}",
				`["table",["app","s"],[]]: GRANT SELECT ON TABLE app.s TO {eve}`, "{alice}: GRANT SELECT ON TABLE app.a, app.parent TO {eve}", "{bob}: GRANT SELECT ON TABLE app.b TO {eve}",
				"{alice}: GRANT EXECUTE ON FUNCTION app.f(integer,pg_catalog.text) TO {eve}", "{bob}: GRANT EXECUTE ON FUNCTION app.by_bob() TO {eve}",
				": CREATE TABLE t (id int PRIMARY KEY)", "{alice}: REVOKE ALL ON a FROM {eve}", "{bob}: GRANT USAGE ON TYPE mood TO {eve}", `["schema",["app"],[]]: GRANT USAGE ON SCHEMA app TO {eve}`,
			},
		},
		{
			"default privileges", "alice",
			[]string{"ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT, INSERT ON TABLES TO {bob} WITH GRANT OPTION; ALTER DEFAULT PRIVILEGES FOR ROLE {bob} REVOKE ALL ON FUNCTIONS FROM PUBLIC; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {eve}; ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM {eve}"},
			[]string{
				"{alice}: ALTER DEFAULT PRIVILEGES FOR ROLE {alice} IN SCHEMA app GRANT INSERT, SELECT ON TABLES TO {bob} WITH GRANT OPTION", "{alice}: ALTER DEFAULT PRIVILEGES FOR ROLE {bob} REVOKE ALL ON FUNCTIONS FROM PUBLIC",
				"{alice}: ALTER DEFAULT PRIVILEGES FOR ROLE {alice} GRANT SELECT ON TABLES TO {eve}", "{alice}: ALTER DEFAULT PRIVILEGES FOR ROLE {alice} REVOKE SELECT ON TABLES FROM {eve}",
			},
		},
		{
			"a superuser's default privileges", super,
			[]string{"ALTER DEFAULT PRIVILEGES FOR ROLE CURRENT_USER, {bob} GRANT ALL ON SEQUENCES TO {eve}; ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO {eve} WITH GRANT OPTION; ALTER DEFAULT PRIVILEGES REVOKE GRANT OPTION FOR USAGE ON SEQUENCES FROM {eve}"},
			[]string{
				": ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO {eve}", "{bob}: ALTER DEFAULT PRIVILEGES FOR ROLE {bob} GRANT ALL ON SEQUENCES TO {eve}",
				": ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO {eve} WITH GRANT OPTION", ": ALTER DEFAULT PRIVILEGES REVOKE GRANT OPTION FOR USAGE ON SEQUENCES FROM {eve}",
			},
		},
		{
			"what a role owned", super,
			[]string{"GRANT SELECT ON a TO {bob}; GRANT USAGE ON SEQUENCE a_id_seq TO {bob}; CREATE POLICY p ON a TO {bob}, {eve}; ALTER DEFAULT PRIVILEGES FOR ROLE {alice} GRANT SELECT ON TABLES TO {bob}; DROP OWNED BY {bob}"},
			[]string{
				"{alice}: GRANT SELECT ON a TO {bob}", "{alice}: GRANT USAGE ON SEQUENCE a_id_seq TO {bob}", "{alice}: CREATE POLICY p ON a TO {bob}, {eve}", "{alice}: ALTER DEFAULT PRIVILEGES FOR ROLE {alice} GRANT SELECT ON TABLES TO {bob}",
				`["table",["app","b"],[]]: DROP TABLE IF EXISTS app.b CASCADE`, `["type",["app.mood"],[]]: DROP TYPE IF EXISTS app.mood CASCADE`, `["function",["app","by_bob"],[]]: DROP FUNCTION IF EXISTS app.by_bob() CASCADE`,
				`["schema",["app"],[]]: REVOKE ALL ON SCHEMA app FROM {bob} CASCADE`, "{alice}: REVOKE ALL ON SEQUENCE app.a_id_seq FROM {bob} CASCADE", "{alice}: REVOKE ALL ON TABLE app.a FROM {bob} CASCADE",
				"{alice}: ALTER DEFAULT PRIVILEGES FOR ROLE {alice} REVOKE SELECT ON TABLES FROM {bob}", "{alice}: ALTER POLICY p ON app.a TO {eve}",
			},
		},
		{
			"functions", "alice",
			[]string{"SELECT by_bob(); DO $$ BEGIN CREATE TABLE mine AS SELECT 1 AS x; EXECUTE 'GRANT SELECT ON mine TO {bob}; GRANT INSERT ON mine TO CURRENT_USER'; END $$"},
			[]string{
				"{bob}: CREATE TABLE made (id int PRIMARY KEY)", "{bob}: GRANT SELECT ON made TO {alice}", "{alice}: CREATE TABLE app.mine (x integer)", "{alice}: ALTER TABLE app.mine REPLICA IDENTITY FULL",
				"{alice}: GRANT SELECT ON mine TO {bob}", "{alice}: GRANT INSERT ON mine TO {alice}",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db, admin, w := watched(t, ScopeAll)
			p := newPeople(t, admin, db.Name, "alice", "bob", "eve", "service")
			mustExec(t, admin, p.in(stageRights))
			mustExec(t, admin, "SELECT pgbridge.register_action('app.act(int)')")
			if tt.name == "to a superuser" {
				mustExec(t, admin, p.in("GRANT postgres TO {alice}"))
			}
			w.read(t)
			for i, s := range tt.send {
				tt.send[i] = p.in(s)
			}
			by := tt.by
			if by != super {
				by = p[by]
			}
			asRole(t, db, by, tt.send...)
			peer, conn := newPeer(t, p)
			var got []string
			for _, m := range w.marks(t) {
				replay(t, conn, p["service"], m)
				who := m.role
				if m.object != nil {
					object, err := json.Marshal(m.object)
					if err != nil {
						t.Fatal(err)
					}
					who += string(object)
				}
				got = append(got, p.out(who+": "+m.statement))
			}
			wantChanges(t, got, tt.want...)
			pgtest.RequireEqual(t, pgtest.DumpSchema(t, peer), atPeer(pgtest.DumpSchema(t, db), p["service"]))
		})
	}
}

// The server tells nobody of REASSIGN OWNED.
func TestMarkAllOwners(t *testing.T) {
	db, admin, w := watched(t, ScopeAll)
	p := newPeople(t, admin, db.Name, "alice", "bob", "eve", "service")
	const more = `; CREATE SCHEMA "X y"; CREATE TABLE "X y"."T t" (id int PRIMARY KEY); CREATE VIEW app.v AS SELECT 1; CREATE TYPE app.pair AS (a int); CREATE DOMAIN app.d AS int;
		CREATE PROCEDURE app.p() LANGUAGE sql AS ''; CREATE AGGREGATE app.g (int) (sfunc = int4pl, stype = int); CREATE SEQUENCE app.q; CREATE COLLATION app.c FROM "C"; CREATE STATISTICS app.st ON id, x FROM app.a;
		CREATE OPERATOR app.## (leftarg = int, rightarg = int, function = int4pl); CREATE TEXT SEARCH DICTIONARY app.td (TEMPLATE = simple); CREATE TEXT SEARCH CONFIGURATION app.tc (COPY = simple); CREATE EXTENSION hstore SCHEMA app`
	mustExec(t, admin, p.in(stageRights)+more)
	peer, conn := newPeer(t, p)
	mustExec(t, conn, more[2:])
	w.read(t)
	mustExec(t, admin, p.in("REASSIGN OWNED BY {alice} TO {eve}"))
	mustExec(t, admin, "SELECT pgbridge.mark_all_owners()")
	for _, m := range w.marks(t) {
		replay(t, conn, p["service"], m)
	}
	pgtest.RequireEqual(t, pgtest.DumpSchema(t, peer), atPeer(pgtest.DumpSchema(t, db), p["service"]))
	if _, err := conn.Exec(t.Context(), "SELECT pgbridge.mark_all_owners()"); err == nil {
		t.Error("at a peer: got no error")
	}
}

// atPeer is a dump of the source as that of a peer is to be: a superuser's is the
// peer's own, and rights to what the server has, and to actions, stay at home.
func atPeer(dump, service string) string {
	dump = strings.NewReplacer("public OWNER TO postgres", "public OWNER TO postgres", " OWNER TO postgres", " OWNER TO "+service, " FOR ROLE postgres", " FOR ROLE "+service).Replace(dump)
	return regexp.MustCompile(`(?m)^GRANT .* ON FUNCTION (pg_catalog\.|app\.act\().*\n`).ReplaceAllString(dump, "")
}

// newPeer is a database as stageRights makes it, where what belonged to a superuser
// belongs to a role that is none.
func newPeer(t *testing.T, p people) (*pgtest.DB, *pgx.Conn) {
	t.Helper()
	db, admin := migrated(t)
	mustExec(t, admin, strings.ReplaceAll(p.in(stageRights), p["database"], db.Name))
	mustExec(t, admin, p.in(`GRANT CREATE ON DATABASE "`+db.Name+`" TO {service}; ALTER SCHEMA app OWNER TO {service};
		ALTER TABLE app.s OWNER TO {service}; ALTER FUNCTION app.act OWNER TO {service}`))
	return db, admin
}

// replay runs a mark as a peer does: nothing but a change of owners with more rights
// than its role, the owner of its object, or the peer's own role.
func replay(t *testing.T, conn *pgx.Conn, service string, m mark) {
	t.Helper()
	role := cmp.Or(m.role, service)
	statement := m.statement
	owner, moves := ddl.NewOwner(statement)
	if m.object != nil {
		if m.role != "" {
			t.Errorf("%s: got role %s and object %v, want one", statement, m.role, m.object)
		}
		role = cmp.Or(queryText(t, conn, `SELECT coalesce(pgbridge.peer_role(pgbridge.owner_oid(o.classid, o.objid)), '') FROM pg_get_object_address($1, $2, $3) o`, m.object...), service)
		if moves {
			role = "postgres"
			if owner == "" {
				statement = strings.TrimSuffix(statement, "CURRENT_USER") + service
			}
		}
	}
	mustExec(t, conn, "SELECT set_config('search_path', $1, false)", m.path)
	mustExec(t, conn, "SET ROLE "+action.QuoteIdent(role))
	mustExec(t, conn, statement)
	mustExec(t, conn, "RESET ROLE")
}
