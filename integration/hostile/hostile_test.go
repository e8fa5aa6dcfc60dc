//go:build hostile

package hostile

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// attacks are all of them, by what they aim at.
func attacks() []attack {
	return slices.Concat(captures, planners, settings, frames, identities, locks, names, marks, peers)
}

func (r role) String() string { return [...]string{"login", "owner", "acting"}[r] }

// Whatever an ordinary role does, it is no more than it was, the log says what
// happened, and source and follower go on and are equal.
func TestAttacks(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Config{NoSync: true})
	var s *stage
	for _, a := range attacks() {
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
			})
		}
	}
	if s != nil {
		s.settle(t)
		s.requireUncaught(t, "")
		s.close(t)
	}
}
