package archive

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Backoff says how long to go on trying what failed and may pass. The pauses
// double and are jittered, so that many who failed together do not come back
// together. Its zero value has the defaults.
type Backoff struct {
	// First is the pause after the first try, 250 ms if zero.
	First time.Duration
	// Longest bounds a pause, 15 s if zero. An archive that asks for more
	// (Retry-After) gets more.
	Longest time.Duration
	// Elapsed bounds the whole: no pause begins that would end later than this
	// after the first try. 1 minute if zero.
	Elapsed time.Duration
}

func (b Backoff) begin() *patience {
	return &patience{
		next:    orDefault(b.First, 250*time.Millisecond),
		longest: orDefault(b.Longest, 15*time.Second),
		elapsed: orDefault(b.Elapsed, time.Minute),
		began:   time.Now(),
	}
}

// patience is one use of a Backoff.
type patience struct {
	next, longest, elapsed time.Duration
	began                  time.Time
	tries                  int
}

// wait pauses before the next try, for hint at least. An error says that there
// shall be none: ctx has ended, or the time is up.
func (p *patience) wait(ctx context.Context, hint time.Duration) error {
	p.tries++
	pause := min(p.next, p.longest)
	p.next = pause * 2
	pause = max(hint, pause/2+rand.N(pause/2+1))
	if spent := time.Since(p.began); spent+pause > p.elapsed {
		if hint > p.elapsed {
			return fmt.Errorf("tried %d times, and the archive asks to come back in %s", p.tries, hint)
		}
		return fmt.Errorf("tried %d times in %s", p.tries, spent.Round(time.Millisecond))
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
