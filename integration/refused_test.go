package integration

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// What an archive refuses for good is kept and not offered again and again, until
// somebody has looked at it and starts pgbridge again.
func TestRefused(t *testing.T) {
	t.Parallel()
	source, follower := pgtest.New(t), pgtest.New(t)
	source.Exec(t, `CREATE TABLE item (id int PRIMARY KEY); INSERT INTO item VALUES (1)`)
	p := newPipe(t, source)
	var asked atomic.Int64
	p.folder.hold = func(context.Context, []byte) error {
		asked.Add(1)
		return fmt.Errorf("%w: not today", archive.ErrRejected)
	}
	publishing := p.publish(t)
	source.Exec(t, `INSERT INTO item VALUES (2)`)
	source.Wait(t, "t", `SELECT count(*) = 4 AND bool_and(state = 'parked' AND error LIKE '%not today%') FROM pgbridge.delivery`)
	publishing.stop(t)
	if asked := asked.Load(); asked != 4 {
		t.Errorf("the archive was asked %d times, want once for each of 4 records", asked)
	}

	p.folder.hold = nil
	publishing = p.publish(t)
	p.caughtUp(t, follower, publishing, p.follow(t, follower))
	pgtest.RequireEqual(t, pgtest.Dump(t, follower), pgtest.Dump(t, source))
}
