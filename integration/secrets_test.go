package integration

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/fakearchive"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// The secrets of this test that are of nobody's making but its own.
const (
	databasePassword = "pa55-of-the-database"
	archivePassword  = "pa55-of-the-archive"
	// secretValue begins every value of every row.
	secretValue = "vAlUe"
)

// confidant is a site that keeps all that its pgbridge says.
type confidant struct {
	*site
	said *[]string
}

// say runs a command to its end.
func (c confidant) say(t testing.TB, args ...string) (stdout string, code int) {
	t.Helper()
	stdout, stderr, code := c.try(t, args...)
	*c.said = append(*c.said, stdout, stderr)
	return stdout, code
}

// secretSite is one whose URLs hold passwords.
func secretSite(t testing.TB, db *pgtest.DB, archive string, said *[]string) confidant {
	t.Helper()
	database := strings.Replace(db.URL(), "postgres@", "postgres:"+databasePassword+"@", 1)
	archive = strings.Replace(archive, "http://", "http://someone:"+archivePassword+"@", 1)
	s := newSite(t, db, archive)
	s.env = append(s.env, "PGBRIDGE_DATABASE_URL="+database, "PGBRIDGE_LOG_LEVEL=debug")
	return confidant{s, said}
}

// keepSecrets gives s a key and a wallet, and returns what nobody may see of
// them in any spelling.
func keepSecrets(t testing.TB, s *site) (needles []string) {
	t.Helper()
	s.withKey(t)
	for _, e := range s.env {
		if file, ok := strings.CutPrefix(e, "PGBRIDGE_KEY="); ok {
			needles = append(needles, spellings(t, keyOf(t, file))...)
		}
	}
	text, err := os.ReadFile("../archive/testdata/test-wallet.json")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "wallet.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "PGBRIDGE_WALLET="+file)
	var jwk map[string]string
	if err := json.Unmarshal(text, &jwk); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"d", "p", "q", "dp", "dq", "qi"} {
		if jwk[field] != "" {
			needles = append(needles, spellings(t, jwk[field])...)
		}
	}
	return needles
}

// keyOf is the secret in a key file.
func keyOf(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, key, ok := strings.Cut(string(text), "PGBRIDGE-KEY-1:")
	if !ok {
		t.Fatalf("no key in %s", file)
	}
	return strings.TrimSpace(key)
}

// spellings are the beginnings of a secret as it may be printed.
func spellings(t testing.TB, secret string) []string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	digits := hex.EncodeToString(raw)
	return []string{secret[:20], base64.StdEncoding.EncodeToString(raw)[:20], digits[:20], strings.ToUpper(digits[:20])}
}

// No password, no key and no value of a row is ever printed or logged: not when
// all is well, not at the most talkative level, and not when things fail in the
// ways in which a server quotes values.
func TestSecrets(t *testing.T) {
	t.Parallel()
	source, follower := pgtest.New(t), pgtest.New(t)
	source.Exec(t, `CREATE SCHEMA app;
		CREATE TABLE app.note (id text PRIMARY KEY, body text, UNIQUE (body));
		INSERT INTO app.note VALUES ('vAlUe-old-key', 'vAlUe-old')`)
	server, url := newArchive(t)
	var said []string
	writer, reader := secretSite(t, source, url, &said), secretSite(t, follower, url, &said)
	needles := append(keepSecrets(t, writer.site), databasePassword, archivePassword, secretValue)

	id, code := writer.say(t, "init", "--name", "secrets")
	if id = strings.TrimSpace(id); code != 0 {
		t.Fatalf("init: exit code %d: %v", code, said)
	}
	server.Script(fakearchive.Post, fakearchive.Answer(500, "oops"), fakearchive.Drop, fakearchive.Done(alreadyThere))
	publishing := writer.start(t, "run")
	eventually(t, "join", func() error {
		if _, code := reader.say(t, "init", "--join", id); code != 0 {
			return errors.New("not yet")
		}
		return nil
	})
	source.Exec(t, `INSERT INTO app.note VALUES ('vAlUe-1', 'vAlUe-one'); UPDATE app.note SET body = 'vAlUe-two' WHERE id = 'vAlUe-1'; DELETE FROM app.note WHERE id = 'vAlUe-old-key'`)
	following := reader.start(t, "run")
	follower.Wait(t, "vAlUe-two", `SELECT body FROM app.note`)
	writer.say(t, "status")
	writer.say(t, "status", "--json")
	writer.say(t, "check")

	processes := append(failWithValues(t, source, follower, reader, following), publishing, following)
	reader.say(t, "status")
	reader.say(t, "status", "--json")
	secretSite(t, pgtest.New(t), url, &said).say(t, "restore", "--db-id", id)
	misconfigure(t, writer)
	for _, p := range processes {
		p.kill()
		said = append(said, p.String())
	}
	requireNone(t, said, needles)
}

// failWithValues makes the follower fail in the ways in which the server's
// message or its detail quotes a value. Each ends it.
func failWithValues(t *testing.T, source, follower *pgtest.DB, reader confidant, running *process) (all []*process) {
	t.Helper()
	for i, c := range []struct{ spoil, mend string }{
		{`INSERT INTO app.note VALUES ('vAlUe-2', 'vAlUe-mine')`, `DELETE FROM app.note WHERE id = 'vAlUe-2'`},
		{`ALTER TABLE app.note ADD CONSTRAINT no CHECK (body NOT LIKE 'vAlUe-new%') NOT VALID`, `ALTER TABLE app.note DROP CONSTRAINT no`},
		{
			`CREATE FUNCTION app.no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no %'', NEW.body; END';
			CREATE TRIGGER no BEFORE INSERT ON app.note FOR EACH ROW EXECUTE FUNCTION app.no(); ALTER TABLE app.note ENABLE ALWAYS TRIGGER no`,
			`DROP FUNCTION app.no CASCADE`,
		},
		{`ALTER TABLE app.note ALTER body TYPE int USING ascii(right(id, 1))`, `ALTER TABLE app.note ALTER body TYPE text USING id`},
	} {
		follower.Wait(t, strconv.Itoa(i+1), `SELECT count(*) FROM app.note`) // it is at work
		follower.Exec(t, c.spoil)
		source.Exec(t, `INSERT INTO app.note VALUES ('vAlUe-' || $1, 'vAlUe-new' || $1)`, []string{"2", "3", "4", "5"}[i])
		if code := running.wait(t); code != 3 {
			t.Errorf("after %s: exit code %d, want 3:\n%s", c.spoil, code, running)
		}
		follower.Exec(t, c.mend)
		noSessions(t, follower)
		running = reader.start(t, "run")
		all = append(all, running)
	}
	return all
}

// misconfigure gives pgbridge its secrets in ways that it refuses.
func misconfigure(t *testing.T, s confidant) {
	t.Helper()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wallet, err := os.ReadFile("../archive/testdata/test-wallet.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, env := range []string{
		"PGBRIDGE_DATABASE_URL=postgres://u:" + databasePassword + "@localhost:port/db",
		"PGBRIDGE_DATABASE_URL=postgres://u:" + databasePassword + "@127.0.0.1:1/db",
		"PGBRIDGE_DATABASE_URL=host=localhost password=" + databasePassword,
		"PGBRIDGE_ARCHIVE=ftp://u:" + archivePassword + "@host",
		"PGBRIDGE_ARCHIVE=http://u:" + archivePassword + "@host:port",
		"PGBRIDGE_WALLET=" + file("cut.json", string(wallet[:len(wallet)-20])),
		"PGBRIDGE_CONFIG=" + file("no.yaml", "database-url\n  - postgres://u:"+databasePassword+"@host\n"),
		"PGBRIDGE_CONFIG=" + file("scalar.yaml", databasePassword),
		"PGBRIDGE_CONFIG=" + file("list.yaml", "database-url: [{"+databasePassword+": 1}]\n"),
	} {
		other := confidant{&site{db: s.db, env: append(slices.Clone(s.env), env)}, s.said}
		if _, code := other.say(t, "run"); code == 0 {
			t.Errorf("run with %s: exit code 0, want another", env)
		}
	}
}

func requireNone(t testing.TB, said, needles []string) {
	t.Helper()
	if !strings.Contains(strings.Join(said, ""), "SQLSTATE") {
		t.Error("nothing failed in the server: this test has tested nothing")
	}
	for _, needle := range needles {
		for _, text := range said {
			for line := range strings.Lines(text) {
				if strings.Contains(line, needle) {
					t.Errorf("%q is in: %s", needle, line)
				}
			}
		}
	}
}
