package integration

import (
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// step is a statement at which a command is killed.
type step struct {
	name  string
	match func(sent) bool
	nth   int
}

var initSteps = []step{
	{"schema", runs("CREATE SCHEMA pgbridge"), 1},
	{"end of the migration", is("commit"), 1},
	{"mark that it began", runs("INSERT INTO pgbridge.database"), 1},
	{"publication", runs("CREATE PUBLICATION"), 1},
	{"slot", runs("CREATE_REPLICATION_SLOT"), 1},
	{"genesis", runs("INSERT INTO pgbridge.chain"), 1},
	{"first copied record", runs("WITH moved"), 1},
	{"last copied record", runs("WITH moved"), 3},
	{"mark that it is done", runs("INSERT INTO pgbridge.database"), 2},
}

var joinSteps = []step{
	{"schema", runs("CREATE SCHEMA pgbridge"), 1},
	{"end of the migration", is("commit"), 1},
	{"tables", runs("CREATE TABLE app"), 1},
	{"progress", runs("INSERT INTO pgbridge.progress"), 1},
	{"end", is("commit"), 1},
}

var restoreSteps = append(joinSteps, []step{
	{"first rows", copies, 1},
	{"progress with the first rows", runs("INSERT INTO pgbridge.progress"), 1},
	{"commit of the first rows", is("commit"), 1},
	{"indexes", runs("ADD CONSTRAINT"), 1},
	{"mark that it is done", runs("INSERT INTO pgbridge.database"), 1},
	{"commit of the indexes", is("commit"), 1},
	{"later rows", is("commit"), 1},
}...)

// everyStep is the nth statement, for n up to the end of the command.
func everyStep(n int) step { return step{name: "statement", match: anyStatement, nth: n} }

// atEach kills a command at each step, before or after it (with the matrix:
// both), one after the other on one database, and then lets it come to its end. With the matrix it
// begins anew, and kills at every statement of a command that was never killed.
func (s *site) atEach(t testing.TB, p *proxy, steps []step, check func(), args ...string) {
	t.Helper()
	for i, at := range steps {
		for _, when := range someMoments(i) {
			s.killedAt(t, p, at, when, args...)
		}
	}
	p.set(nil)
	s.pgbridge(t, args...)
	check()
}

// someMoments is both moments, or one by turns.
func someMoments(turn int) []moment {
	both := []moment{before, after}
	if matrix {
		return both
	}
	return both[turn%2 : turn%2+1]
}

// atEvery kills a command at every statement, each time on a fresh database.
func atEvery(t testing.TB, fresh func() (*site, *proxy), check func(), args ...string) {
	t.Helper()
	for n := 1; ; n++ {
		s, p := fresh()
		if !s.killedAt(t, p, everyStep(n), before, args...) {
			return
		}
		p.set(nil)
		s.pgbridge(t, args...)
		check()
	}
}

func (s *site) killedAt(t testing.TB, p *proxy, at step, when moment, args ...string) bool {
	t.Helper()
	trap := p.set(newTrap(at.nth, when, at.match))
	killed := s.killed(t, trap.hit, func() {}, args...)
	t.Logf("%s %s %d: killed %t", when, at.name, at.nth, killed)
	return killed
}

// Init dies at every step, and the next one undoes what is left of it.
func TestInitKilled(t *testing.T) {
	t.Parallel()
	source := pgtest.New(t)
	source.Exec(t, crashSchema+`; INSERT INTO app.big SELECT n, repeat(md5(n::text), 3000) FROM generate_series(1, 60) n`)
	wire := newProxy(t, source)
	server, url := newArchive(t)
	writer := newSite(t, source, url).withKey(t).through(wire)
	check := func() { requireFounded(t, writer, source, url) }
	writer.atEach(t, wire, initSteps, check, "init", "--name", "crash")
	if !matrix {
		return
	}
	server.Forks = true // the same key founds again, on purpose
	fresh := func() (*site, *proxy) {
		source.Exec(t, `DROP SCHEMA pgbridge CASCADE; DROP PUBLICATION pgbridge`)
		source.Exec(t, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()`)
		return writer, wire
	}
	atEvery(t, fresh, check, "init", "--name", "crash")
}

// requireFounded requires that an init has left all it should, and no more.
func requireFounded(t testing.TB, writer *site, source *pgtest.DB, url string) {
	t.Helper()
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "crash"))
	if again := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "crash")); again != id {
		t.Errorf("the second init printed %s, the first %s", again, id)
	}
	left := source.Value(t, `SELECT format('%s slots, %s publications, %s chains, stage %s',
		(SELECT count(*) FROM pg_replication_slots WHERE database = current_database()), (SELECT count(*) FROM pg_publication),
		(SELECT count(*) FROM pgbridge.chain), (SELECT stage FROM pgbridge.database))`)
	if want := "1 slots, 1 publications, 1 chains, stage ready"; left != want {
		t.Errorf("init left %s, want %s", left, want)
	}
	publishing := writer.serve(t, "run")
	source.Exec(t, small.sql)
	published(t, source)
	publishing.kill()
	requireRestore(t, pgtest.New(t), url, id, source)
}

// Join and restore die at every step, and go on where they were.
func TestRestoreKilled(t *testing.T) {
	t.Parallel()
	source := pgtest.New(t)
	source.Exec(t, crashSchema+`; INSERT INTO app.big SELECT n, repeat(md5(n::text), 3000) FROM generate_series(1, 150) n`)
	_, url := newArchive(t)
	writer := newSite(t, source, url).withKey(t)
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "crash"))
	publishing := writer.serve(t, "run")
	for _, l := range loads {
		source.Exec(t, l.sql)
	}
	published(t, source)
	publishing.kill()

	for _, c := range []struct {
		name  string
		steps []step
		args  []string
	}{
		{"restore", restoreSteps, []string{"restore", "--db-id", id}},
		{"join", joinSteps, []string{"init", "--join", id}},
	} {
		if c.name == "join" && !matrix {
			continue // restore begins with it
		}
		t.Run(c.name, func(t *testing.T) {
			var restored *pgtest.DB
			var target *site
			fresh := func() (*site, *proxy) {
				restored = pgtest.New(t)
				wire := newProxy(t, restored)
				target = newSite(t, restored, url).through(wire)
				return target, wire
			}
			check := func() {
				target.pgbridge(t, "restore", "--db-id", id)
				pgtest.RequireEqual(t, pgtest.Dump(t, restored), pgtest.Dump(t, source))
				pgtest.RequireEqual(t, pgtest.DumpSchema(t, restored), pgtest.DumpSchema(t, source))
				pgtest.RequireEqual(t, pgtest.Sequences(t, restored), pgtest.Sequences(t, source))
			}
			s, p := fresh()
			s.atEach(t, p, c.steps, check, c.args...)
			if matrix {
				atEvery(t, fresh, check, c.args...)
			}
		})
	}
}
