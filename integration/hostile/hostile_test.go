//go:build hostile

package hostile

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

func (r role) String() string { return [...]string{"login", "owner", "acting"}[r] }

// Whatever an ordinary role does, it is no more than it was, the log says what
// happened, and source and follower go on and are equal.
func TestAttacks(t *testing.T) {
	t.Parallel()
	for _, aim := range []struct {
		name    string
		attacks []attack
	}{
		{"functions", slices.Concat(captures, planners)},
		{"state", slices.Concat(settings, frames, identities, names)},
		{"work", slices.Concat(locks, marks, texts, peers)},
	} {
		t.Run(aim.name, func(t *testing.T) {
			t.Parallel()
			play(t, aim.attacks)
		})
	}
}

// play runs attacks one after the other against one stage. Those that an attack has left in
// ruins are followed by a new one.
func play(t *testing.T, attacks []attack) {
	t.Helper()
	cluster := pgtest.Start(t, pgtest.Config{NoSync: true})
	var s *stage
	for _, a := range attacks {
		for _, as := range a.as {
			t.Run(fmt.Sprintf("%s as %s", a.name, as), func(in *testing.T) {
				if a.since > cluster.Major() {
					return // the server has not what it needs
				}
				if s == nil {
					s = newStage(t, cluster)
				}
				defer func() {
					if in.Failed() {
						s.close(t)
						s = nil
					}
				}()
				s.run(in, a, as)
				if s.attackers%comparedTogether == 0 {
					s.requireEqual(in, s.follower)
				}
			})
		}
	}
	if s != nil {
		s.settle(t)
		s.requireEqual(t, s.follower)
		s.requireUncaught(t, "")
		s.close(t)
	}
}

// comparedTogether is after how many attacks source and follower are compared. Each attacker
// has a schema of its own, so a difference tells whose it is.
const comparedTogether = 10
