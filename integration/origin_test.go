package integration

import (
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// Rows under a replication origin are left out of the stream only if the applier of this
// database works under it. Another program may name its own like that.
func TestRowsOfOtherOrigins(t *testing.T) {
	t.Parallel()
	source, follower := pgtest.New(t), pgtest.New(t)
	source.Exec(t, "CREATE TABLE public.note (id int PRIMARY KEY)")
	p := newPipe(t, source)
	publishing, following := p.publish(t), p.follow(t, follower)
	under := func(name, statement string) {
		t.Helper()
		conn := source.Connect(t)
		for _, s := range []string{
			"SELECT pg_replication_origin_create('" + name + "') WHERE NOT EXISTS (SELECT FROM pg_replication_origin WHERE roname = '" + name + "')",
			"SELECT pg_replication_origin_session_setup('" + name + "')", statement,
		} {
			if _, err := conn.Exec(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		source.Wait(t, "0", "SELECT count(*) FROM pg_stat_activity WHERE pid = $1", conn.PgConn().PID())
	}
	name := "pgbridge_" + source.Name
	t.Cleanup(func() {
		source.Exec(t, "SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname LIKE '"+name+"%'")
	})
	source.Exec(t, "INSERT INTO pgbridge.origin VALUES ('"+name+"_own')")
	under(name+"_other", "INSERT INTO public.note VALUES (1)")
	under(name+"_own", "INSERT INTO public.note VALUES (2)")
	under(name+"_other", "INSERT INTO public.note VALUES (3)")

	p.caughtUp(t, follower, publishing, following)
	const ids = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM public.note"
	if got := follower.Value(t, ids); got != "1 3" {
		t.Errorf("the follower has rows %s, want 1 3: those of the other program", got)
	}
}
