//go:build hostile

package hostile

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

// A policy for a role that is missing at the follower stops it with the statement
// that mends it. With the role it goes on.
func TestMissingRole(t *testing.T) {
	t.Parallel()
	s := newSource(t, pgtest.Start(t, pgtest.Config{NoSync: true}))
	s.settle(t)
	s.follower = pgtest.Start(t, pgtest.Config{NoSync: true}).Database(t)
	s.source.Exec(t, `CREATE ROLE guest`)
	s.there = administer(s.follower, s.archive)
	s.there.Run(t, initArgs("--join", s.id)...)
	s.reader = run(t, s.there, s.follower)
	s.settle(t)
	s.source.Exec(t, `CREATE POLICY guests ON app.victim TO guest USING (true)`)
	s.source.Exec(t, `INSERT INTO app.ledger (what) VALUES ('later')`)
	s.names(t, `CREATE ROLE "guest"`)
	s.follower.Exec(t, `CREATE ROLE guest`)
	select {
	case <-s.reader.Exited:
		s.reader = run(t, s.there, s.follower)
	default:
	}
	s.settle(t)
	s.requireEqual(t, s.follower)
}

// names waits until the follower says what is to be done. It may end then.
func (s *stage) names(t testing.TB, fix string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := pgtest.Poll(ctx, func() error {
		ended := s.ended() != nil // before its words are read
		if contains(s.reader.String(), fix) {
			return nil
		}
		if ended {
			cancel()
		}
		return errors.New(lastLines(s.reader.String()))
	}); err != nil {
		t.Fatalf("the follower does not say %s: %v", fix, err)
	}
}

// A check that sleeps at a follower is seen: status names the table or the
// statement under way.
func TestSleeping(t *testing.T) {
	t.Parallel()
	s := newStage(t, pgtest.Start(t, pgtest.Config{NoSync: true}))
	s.source.Exec(t, `CREATE SCHEMA sleepy; CREATE FUNCTION sleepy.nap() RETURNS bool LANGUAGE plpgsql AS
		$$ BEGIN IF current_setting('application_name') = 'pgbridge' THEN PERFORM pg_sleep(3600); END IF; RETURN true; END $$`)
	s.source.Exec(t, `CREATE TABLE sleepy.rows (id int PRIMARY KEY CHECK (sleepy.nap())); INSERT INTO sleepy.rows VALUES (1)`)
	s.eventually(t, "status of the follower names what sleeps", func() error {
		stdout, stderr, _ := s.there.Try(t, "status")
		if !contains(stdout+stderr, "sleepy") {
			return errors.New(stdout)
		}
		return nil
	})
}
