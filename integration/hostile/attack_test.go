//go:build hostile

package hostile

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// role is what an attacker may do.
type role int

const (
	login  role = iota // log in, with what PUBLIC has
	owner              // and owns schema {me}
	acting             // and the action {me}.act(n int), which inserts into {me}.acts
)

// attack is one attempt. In its SQL {me} is the attacker's role and the schema of
// that name, {traps} makes traps in that schema, {temp traps} in pg_temp.
type attack struct {
	name  string
	as    []role
	admin string   // run by the administrator before
	setup string   // run by the attacker in a session before
	sql   []string // run by the attacker in one session, each a query string; any may be refused
	play  func(t *testing.T, x *scene)
	never string // a regular expression that nothing in the log may match
	since int    // the first major version that has what it needs
	// differs is for what a peer has to hold otherwise than the source.
	differs bool
}

// scene is an attack under way.
type scene struct {
	*stage
	me     string
	expand func(string) string
}

// session is a session of one role, closed when the test ends.
type session struct{ conn *pgx.Conn }

func (x *scene) session(t testing.TB) *session { return connect(t, x.source, x.me) }

func connect(t testing.TB, db *pgtest.DB, as string) *session {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), db.URLAs(as))
	if err != nil {
		t.Fatalf("connect as %s: %v", as, err)
	}
	s := &session{conn}
	t.Cleanup(s.close)
	return s
}

func (s *session) close() { _ = s.conn.Close(contextWithoutTest()) }

// try runs a query string, which may be refused.
func (s *session) try(t testing.TB, sql string) error {
	t.Helper()
	_, err := s.conn.PgConn().Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Logf("refused: %v\n\t%s", err, brief(sql))
	}
	return err
}

// quietly is try where there is too much to log.
func (s *session) quietly(t testing.TB, sql string) error {
	t.Helper()
	_, err := s.conn.PgConn().Exec(t.Context(), sql).ReadAll()
	return err
}

// must runs a query string that is no attack.
func (s *session) must(t testing.TB, sql string) {
	t.Helper()
	if _, err := s.conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%v\n\t%s", err, sql)
	}
}

// run runs one attack and looks at what came of it. Whether the follower equals the source
// is looked at for several attacks together.
func (s *stage) run(t *testing.T, a attack, as role) {
	began := time.Now()
	x := s.attack(t, a, as)
	s.source.Exec(t, `INSERT INTO app.ledger (what) VALUES ('life goes on')`)
	x.requireUnharmed(t)
	s.settle(t)
	x.requireUnharmed(t)
	if a.never != "" {
		s.requireNever(t, x.expand(a.never), began)
	}
}

// attack runs an attack to its end, and does not look at what came of it.
func (s *stage) attack(t *testing.T, a attack, as role) *scene {
	t.Helper()
	s.attackers++
	x := &scene{stage: s, me: fmt.Sprintf("h%d_%d", s.number, s.attackers)}
	t.Logf("the attacker is %s", x.me)
	x.expand = func(sql string) string { return expand(sql, x.me, s.traces) }
	x.enlist(t, as)
	if a.admin != "" {
		s.source.Exec(t, x.expand(a.admin))
	}
	if a.setup != "" {
		before := x.session(t)
		before.must(t, x.expand(a.setup))
		before.close()
	}
	if len(a.sql) > 0 {
		attacker := x.session(t)
		for _, sql := range a.sql {
			_ = attacker.try(t, x.expand(sql)) // to be refused is right, too
		}
		attacker.close()
	}
	if a.play != nil {
		a.play(t, x)
	}
	return x
}

// enlist makes the attacker's role and what it owns.
func (x *scene) enlist(t testing.TB, as role) {
	t.Helper()
	x.source.Exec(t, x.expand(`CREATE ROLE {me} LOGIN`))
	if x.follower != nil {
		x.admit(t, x.follower)
	}
	if as == login {
		return
	}
	x.source.Exec(t, x.expand(`CREATE SCHEMA {me} AUTHORIZATION {me}`))
	if as == owner {
		return
	}
	x.session(t).must(t, x.expand(`CREATE TABLE {me}.acts (n int PRIMARY KEY);
		CREATE FUNCTION {me}.act(n int) RETURNS void LANGUAGE sql SET search_path = {me}, pg_temp AS 'INSERT INTO acts VALUES (n)';
		REVOKE EXECUTE ON FUNCTION {me}.act(int) FROM PUBLIC`))
	x.source.Exec(t, x.expand(`SELECT pgbridge.register_action('{me}.act(int)', replay => 'rows')`))
}

// admit does at a peer what its administrator has to do for a role that was made after
// the peer: statements of the stream may run as it.
func (x *scene) admit(t testing.TB, peer *pgtest.DB) {
	t.Helper()
	peer.Exec(t, `SELECT pgbridge.admit_author($1)`, x.me)
}

// requireUnharmed fails the test if the attacker has got any rights, or if code of
// the attacker's ran as somebody else.
func (x *scene) requireUnharmed(t testing.TB) {
	t.Helper()
	for _, db := range []*pgtest.DB{x.source, x.follower} {
		if got := db.Value(t, `SELECT format('super %s, createrole %s, replication %s, bypassrls %s, member of %s', rolsuper, rolcreaterole, rolreplication, rolbypassrls,
			(SELECT count(*) FROM pg_auth_members WHERE member = r.oid)) FROM pg_roles r WHERE rolname = $1`, x.me); got != "super f, createrole f, replication f, bypassrls f, member of 0" {
			t.Errorf("the attacker is %s", got)
		}
		if got := db.Query(t, `SELECT nspname FROM pg_namespace WHERE pg_get_userbyid(nspowner) = $1 AND nspname <> $1 AND nspname NOT LIKE 'pg\_%'`, x.me); len(got) > 0 {
			t.Errorf("the attacker owns schemas %v", got)
		}
	}
	x.requireUncaught(t, x.me)
}

// requireUncaught fails the test if a trap of the attacker's, or of anybody's if
// me is empty, was run by another role; but for the one that makes the objects of a restore,
// which has no rights, and changes nothing meanwhile (TestDefinitionsChangeNothingElse).
func (s *stage) requireUncaught(t testing.TB, me string) {
	t.Helper()
	shown := map[string]bool{}
	for _, line := range caught.FindAllStringSubmatch(s.cluster.Log()[s.read:], -1) {
		if (me == "" || line[1] == me) && !builder.MatchString(line[0]) && !shown[line[0]] && len(shown) < 5 {
			shown[line[0]] = true
			t.Errorf("code of the attacker's ran as another role: %s", line[0])
		}
	}
	files, err := filepath.Glob(filepath.Join(s.traces, cmp.Or(me, "*")))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, _ := os.ReadFile(file)
		t.Errorf("a program was run, which wrote %s", filepath.Base(file))
		if strings.Contains(string(text), "PGBRIDGE_DATABASE_URL") || strings.Contains(string(text), "PGBRIDGE_KEY") {
			t.Errorf("and it saw the settings of pgbridge in its environment")
		}
	}
}

// caught finds what a trap says. The server logs the text of a function, too, where
// a statement with it fails.
var caught = regexp.MustCompile(`LOG:  caught (\w+): [^\n]*`)

// builder is the role that makes the objects of a restore.
var builder = regexp.MustCompile(`: current_user pgbridge_builder_\d+, `)
