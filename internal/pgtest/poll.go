package pgtest

import (
	"context"
	"time"
)

// Poll asks again and again until ask has nothing to complain of, or ctx ends:
// then it returns the last complaint. It is for what tells nobody when it happens.
func Poll(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}
