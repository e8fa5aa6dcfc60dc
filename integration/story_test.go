package integration

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// story is a schema and what happens to it.
type story struct {
	name    string // also of the schema
	since   int    // the first major version that can tell it
	until   int    // the last one
	before  string
	changes []string // each on a connection of its own
}

// tell tells stories four times: at the source, to a follower that hears them as
// they happen, to a restored copy that hears all at once, and to one that must
// take every change by itself. All must end alike.
func tell(t *testing.T, stories []story) {
	t.Helper()
	source, follower := pgtest.New(t), pgtest.New(t)
	stories = slices.DeleteFunc(stories, func(s story) bool {
		return s.since > source.Cluster.Major() || s.until != 0 && s.until < source.Cluster.Major()
	})
	for _, s := range stories {
		schema := action.QuoteIdent(s.name)
		source.Exec(t, "CREATE SCHEMA "+schema+"; SET search_path = "+schema+", public; "+s.before)
	}
	p := newPipe(t, source)
	publishing, following := p.publish(t), p.follow(t, follower)
	for _, s := range stories {
		for _, change := range s.changes {
			conn := source.Connect(t).PgConn()
			if _, err := conn.Exec(t.Context(), "SET search_path = "+action.QuoteIdent(s.name)+", public").ReadAll(); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Exec(t.Context(), change).ReadAll(); err != nil {
				t.Fatalf("%s: %v\n%s", s.name, err, change)
			}
			conn.Close(t.Context())
		}
	}
	p.caughtUp(t, follower, publishing, following)
	want := pgtest.Dump(t, source)
	for _, copy := range []struct {
		name string
		db   *pgtest.DB
	}{{"follower", follower}, {"restored at once", p.restore(t)}, {"restored one by one", p.restoreExactly(t)}} {
		t.Run(copy.name, func(t *testing.T) {
			pgtest.RequireEqual(t, pgtest.Dump(t, copy.db), want)
			sameSequences(t, source, copy.db)
		})
	}
}

// restoreExactly restores to a database where a trigger of every table fires,
// so that nothing may be grouped or reordered.
func (p *pipe) restoreExactly(t *testing.T) *pgtest.DB {
	t.Helper()
	db := p.source.Cluster.Database(t)
	p.join(t, db.URL())
	db.Exec(t, `CREATE FUNCTION pgbridge.seen() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`)
	for _, table := range db.Query(t, `SELECT c.oid::regclass FROM pg_class c WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
		AND c.relnamespace::regnamespace::text NOT IN ('pgbridge', 'pg_catalog', 'information_schema')`) {
		db.Exec(t, fmt.Sprintf(`CREATE TRIGGER pgbridge_seen AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION pgbridge.seen();
			ALTER TABLE %[1]s ENABLE ALWAYS TRIGGER pgbridge_seen`, table[0]))
	}
	apply := p.applier(t, db.URL())
	apply.ToEnd = true
	if err := apply.Run(t.Context()); err != nil {
		t.Fatalf("restore one by one: %v", err)
	}
	return db
}
