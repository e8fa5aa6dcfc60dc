package integration

import (
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// The server gives no sign when it leaves out what the publication does not
// have. So any change to the publication ends run, and keeps it from starting.
func TestPublicationChanged(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"table taken out":             `ALTER PUBLICATION pgbridge DROP TABLE item; INSERT INTO item VALUES (1)`,
		"table taken out for a while": `ALTER PUBLICATION pgbridge DROP TABLE item; COMMIT; INSERT INTO item VALUES (1); COMMIT; ALTER PUBLICATION pgbridge ADD TABLE item`,
		"dropped":                     `DROP PUBLICATION pgbridge; INSERT INTO item VALUES (1)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, when := range []string{"while run is at work", "while run is away"} {
				t.Run(when, func(t *testing.T) { changePublication(t, change, when == "while run is at work") })
			}
		})
	}
}

func changePublication(t *testing.T, change string, working bool) {
	db := pgtest.New(t)
	db.Exec(t, `CREATE TABLE item (id int PRIMARY KEY); CREATE TABLE kept (id int PRIMARY KEY)`)
	writer := newSite(t, db, "dir://"+t.TempDir()).withKey(t)
	writer.pgbridge(t, "init", "--name", "publication")
	running := writer.start(t, "run")
	db.Exec(t, `INSERT INTO kept VALUES (1)`)
	published(t, db)
	if !working {
		running.stop(t)
	}
	db.Exec(t, "BEGIN; "+change+"; COMMIT")
	if working {
		if code := running.wait(t); code != 3 {
			t.Errorf("run ended with exit code %d, want 3", code)
		}
		if !strings.Contains(running.String(), "publication") {
			t.Errorf("run said\n%s\nwant it to speak of the publication", running)
		}
	}
	noSessions(t, db)
	_, stderr, code := writer.try(t, "run")
	if code != 3 || !strings.Contains(stderr, "publication") {
		t.Errorf("run: exit code %d\n%s\nwant 3, and a word on the publication", code, stderr)
	}
}
