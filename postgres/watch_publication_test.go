package postgres

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/pgbridge/pgbridge/action"
)

// published lists the tables of the publication, with the replica identities of
// these and of their partitions.
func published(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	if got, err := PublicationMarked(t.Context(), conn); err != nil || !got {
		t.Errorf("marked %v, %v, want true: nobody changed the publication", got, err)
	}
	all, err := names(t.Context(), conn, `SELECT c.relname || ':' || c.relreplident::text || coalesce((SELECT string_agg(' ' || l.relname || ':' || l.relreplident::text, '' ORDER BY l.relname)
			FROM pg_partition_tree(c.oid) p JOIN pg_class l ON l.oid = p.relid WHERE p.isleaf AND l.oid <> c.oid), '')
		FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid JOIN pg_class c ON c.oid = r.prrelid
		WHERE p.pubname = 'pgbridge' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, ", ")
}

// Tables join and leave the publication by rule, and have an identity by rule.
func TestPublicationFollowsTheSchema(t *testing.T) {
	const root = "CREATE TABLE r (x int PRIMARY KEY) PARTITION BY LIST (x); CREATE TABLE r1 PARTITION OF r FOR VALUES IN (1); "
	for _, tt := range []struct {
		name, send string
		want       string
	}{
		{"with a key", "CREATE TABLE a (x int PRIMARY KEY)", "a:d"},
		{"without", "CREATE TABLE a (x int)", "a:f"},
		{"key later", "CREATE TABLE a (x int); ALTER TABLE a ADD PRIMARY KEY (x)", "a:d"},
		{"key gone", "CREATE TABLE a (x int PRIMARY KEY); ALTER TABLE a DROP CONSTRAINT a_pkey", "a:f"},
		{"key column gone", "CREATE TABLE a (x int PRIMARY KEY, y int); ALTER TABLE a DROP COLUMN x", "a:f"},
		{"deferrable key", "CREATE TABLE a (x int PRIMARY KEY DEFERRABLE)", "a:f"},
		{"index gone", "CREATE TABLE a (x int NOT NULL); CREATE UNIQUE INDEX i ON a (x); ALTER TABLE a REPLICA IDENTITY USING INDEX i; DROP INDEX i", "a:f"},
		{"own choice", "CREATE TABLE a (x int PRIMARY KEY); ALTER TABLE a REPLICA IDENTITY FULL; ALTER TABLE a ADD y int", "a:f"},
		{"not for peers", "CREATE TEMP TABLE a (); CREATE UNLOGGED TABLE b (); CREATE VIEW v AS SELECT 1; CREATE MATERIALIZED VIEW m AS SELECT 1", ""},
		{"logged", "CREATE UNLOGGED TABLE a (x int PRIMARY KEY); ALTER TABLE a SET LOGGED", "a:d"},
		{"with a schema", "CREATE SCHEMA s CREATE TABLE a (x int PRIMARY KEY) CREATE TABLE b (x int)", "a:d, b:f"},
		{"as", "CREATE TABLE a AS SELECT 1", "a:f"},
		{"rolled back", "BEGIN; CREATE TABLE a (); SAVEPOINT s; CREATE TABLE b (); ROLLBACK TO s; CREATE TABLE c (); COMMIT", "a:f, c:f"},
		{"dropped", "CREATE TABLE a (); CREATE TABLE b (); DROP TABLE a", "b:f"},
		{"dropped with its schema", "CREATE SCHEMA s CREATE TABLE a (); DROP SCHEMA s CASCADE", ""},
		{"renamed and moved", "CREATE SCHEMA s; CREATE TABLE l (); ALTER TABLE l RENAME TO m; ALTER TABLE m SET SCHEMA s", "m:f"},
		{"partitions", root, "r:d r1:d"},
		{"attached", root + "CREATE TABLE a (LIKE r); ALTER TABLE r ATTACH PARTITION a DEFAULT", "r:d a:d r1:d"},
		{"detached", root + "ALTER TABLE r DETACH PARTITION r1", "r1:d, r:d"},
		{"root without a key", root + "ALTER TABLE r DROP CONSTRAINT r_pkey; CREATE TABLE r2 PARTITION OF r DEFAULT", "r:f r1:f r2:f"},
		{"and with it again", root + "ALTER TABLE r DROP CONSTRAINT r_pkey; ALTER TABLE r ADD PRIMARY KEY (x)", "r:d r1:d"},
		{"of an extension", "CREATE EXTENSION pg_stat_statements; CREATE TABLE e (); ALTER EXTENSION pg_stat_statements ADD TABLE e; ALTER TABLE e ADD x int", "e:f"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db, conn, _ := watched(t, ScopeAll)
			send(t, db, "postgres", tt.send)
			if got := published(t, conn); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// Where only listed tables are published none joins, but their identities follow.
func TestListedPublicationFollowsTheSchema(t *testing.T) {
	db, conn, _ := watched(t, ScopeListed)
	mustExec(t, conn, "CREATE TABLE public.l (x int); CREATE TABLE public.m (x int PRIMARY KEY); ALTER PUBLICATION pgbridge ADD TABLE public.l, public.m; SELECT pgbridge.mark_publication()")
	for _, tt := range []struct{ send, want string }{
		{"CREATE TABLE a (x int)", "l:f, m:d"},
		{"CREATE TABLE b AS SELECT 1; CREATE UNLOGGED TABLE u (); ALTER TABLE u SET LOGGED", "l:f, m:d"},
		{"ALTER TABLE l ADD PRIMARY KEY (x)", "l:d, m:d"},
		{"ALTER TABLE l DROP COLUMN x; ALTER TABLE m RENAME TO n", "l:f, n:d"},
		{"CREATE TABLE r (x int PRIMARY KEY) PARTITION BY LIST (x); ALTER TABLE r ATTACH PARTITION n DEFAULT; ALTER TABLE r DETACH PARTITION n", "l:f, n:d"},
		{"DROP TABLE n", "l:f"},
	} {
		send(t, db, "postgres", tt.send)
		if got := published(t, conn); got != tt.want {
			t.Errorf("after %s: got %s, want %s", tt.send, got, tt.want)
		}
	}
}

// What a person changes is found, whatever the triggers do before, meanwhile and
// after.
func TestTamperingIsFound(t *testing.T) {
	const create = "CREATE TABLE public.%s (x int PRIMARY KEY); "
	for _, change := range []string{
		"ALTER PUBLICATION pgbridge DROP TABLE public.a",
		"ALTER PUBLICATION pgbridge DROP TABLE public.a; CREATE TABLE public.n (); ALTER TABLE public.a ADD y int",
		"BEGIN; ALTER PUBLICATION pgbridge DROP TABLE public.a; CREATE TABLE public.n (); ALTER PUBLICATION pgbridge ADD TABLE public.a; COMMIT",
		"ALTER PUBLICATION pgbridge DROP TABLE public.a; DROP TABLE public.a",
		"BEGIN; CREATE TABLE public.n (x int); ALTER PUBLICATION pgbridge DROP TABLE public.n; COMMIT",
		"SET session_replication_role = replica; DROP TABLE public.a; RESET session_replication_role",
		"ALTER PUBLICATION pgbridge SET TABLE public.a",
		"ALTER PUBLICATION pgbridge SET (publish_via_partition_root = false)",
		"DROP PUBLICATION pgbridge; CREATE TABLE public.n ()",
		"DELETE FROM pgbridge.published",
	} {
		t.Run(change, func(t *testing.T) {
			t.Parallel()
			_, conn, _ := watched(t, ScopeAll)
			for _, table := range []string{"a", "b"} {
				mustExec(t, conn, strings.Replace(create, "%s", table, 1))
			}
			if got := published(t, conn); got != "a:d, b:d" {
				t.Fatalf("before: got %s, want both tables", got)
			}
			mustExec(t, conn, change)
			if got, err := PublicationMarked(t.Context(), conn); err != nil || got {
				t.Errorf("marked %v, %v, want false", got, err)
			}
		})
	}
}

// Sessions that make tables at once wait for each other at most, and do not look
// like tampering.
func TestTablesMadeAtOnce(t *testing.T) {
	db, admin, w := watched(t, ScopeAll)
	mustExec(t, admin, "CREATE TABLE public.p (x int) PARTITION BY LIST (x)")
	w.read(t)
	var group errgroup.Group
	for _, n := range []string{"a", "b", "c"} {
		conn := connect(t, db.URL())
		mustExec(t, conn, "SET search_path = public")
		group.Go(func() error {
			end := "COMMIT"
			if n == "c" {
				end = "ROLLBACK"
			}
			_, err := conn.Exec(t.Context(), "BEGIN; CREATE TABLE "+n+" (x int PRIMARY KEY); INSERT INTO "+n+" VALUES (1); CREATE TABLE "+n+"2 AS SELECT 1 AS x; "+end)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	mustExec(t, admin, "SET search_path = public; DROP TABLE a2; CREATE TABLE p1 (x int); ALTER TABLE p ATTACH PARTITION p1 DEFAULT; RESET search_path")
	if got, want := published(t, admin), "a:d, b2:f, b:d, p:f p1:f"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if marked, err := PublicationMarked(t.Context(), admin); err != nil || !marked {
		t.Errorf("marked %v, %v, want true: nobody tampered", marked, err)
	}
	var made []string
	for _, tx := range w.read(t) {
		for _, change := range tx {
			if strings.HasPrefix(change, "I ") {
				made = append(made, change)
			}
		}
	}
	slices.Sort(made)
	if want := []string{"I public.a", "I public.b"}; !slices.Equal(made, want) {
		t.Errorf("rows of new tables: got %q, want %q", made, want)
	}
	mustExec(t, admin, "DROP TABLE public.a, public.b, public.b2, public.p")
	if got := queryText(t, admin, "SELECT concat((SELECT count(*) FROM pgbridge.published), ' ', (SELECT count(*) FROM pg_depend WHERE classid = 'pg_publication_rel'::regclass))"); got != "0 0" {
		t.Errorf("published, and what depends: got %s, want nothing left", got)
	}
}

// Without a superuser there are no event triggers, and changes go on as before.
func TestWatchSchemaWithoutSuperuser(t *testing.T) {
	db, admin := newDatabase(t)
	role := newRole(t, admin, "LOGIN")
	mustExec(t, admin, "GRANT CREATE ON DATABASE "+action.QuoteIdent(db.Name)+" TO "+action.QuoteIdent(role))
	conn := connect(t, db.URLAs(role))
	if err := Install(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	if ok, err := WatchSchema(t.Context(), conn); ok || err != nil {
		t.Errorf("got %v, %v, want false", ok, err)
	}
	// What the triggers do they do as the owner of the schema.
	if err := SaveDatabase(t.Context(), conn, Database{Role: RoleWriter, Stage: StageReady, Name: "app", ID: action.Digest{1}, Genesis: []byte("record")}); err != nil {
		t.Fatal(err)
	}
	if ok, err := WatchSchema(t.Context(), admin); ok || err != nil {
		t.Errorf("a superuser, in a schema that belongs to none: got %v, %v, want false", ok, err)
	}
	mustExec(t, conn, "CREATE SCHEMA s; CREATE TABLE s.a ()")
}

// The triggers do nothing where the database does not write, and to what is
// applied.
func TestWatchSchemaOfFollowers(t *testing.T) {
	_, conn, w := watched(t, ScopeAll)
	mustExec(t, conn, "BEGIN; SET LOCAL session_replication_role = replica; CREATE TABLE public.a (); COMMIT")
	mustExec(t, conn, "UPDATE pgbridge.database SET role = 'follower'")
	mustExec(t, conn, "CREATE TABLE public.b (); DROP TABLE public.a; CREATE EXTENSION hstore SCHEMA public")
	wantChanges(t, w.changes(t))
	mustExec(t, conn, "DELETE FROM pgbridge.database")
	mustExec(t, conn, "CREATE TABLE public.c AS SELECT 1")
	wantChanges(t, w.changes(t))
}

// A statement that is cancelled, or waits for a lock in vain, leaves nothing.
func TestWatchSchemaAfterATimeout(t *testing.T) {
	db, admin, w := watched(t, ScopeAll)
	mustExec(t, admin, "CREATE TABLE public.a (x int PRIMARY KEY)")
	w.read(t)
	tx := begin(t, connect(t, db.URL()))
	mustExec(t, tx, "LOCK TABLE public.a")
	conn := connect(t, db.URL())
	start := time.Now()
	_, err := conn.Exec(t.Context(), "SET lock_timeout = 50; CREATE SCHEMA s; ALTER TABLE public.a ADD y serial", pgx.QueryExecModeSimpleProtocol)
	if code := sqlState(err); code != "55P03" || time.Since(start) > time.Minute {
		t.Errorf("got %v, want lock_not_available", err)
	}
	mustExec(t, conn, "CREATE SCHEMA t")
	wantChanges(t, w.changes(t), "CREATE SCHEMA t [pg_catalog]")
}

func sqlState(err error) string {
	var refused *pgconn.PgError
	errors.As(err, &refused)
	if refused == nil {
		return ""
	}
	return refused.Code
}
