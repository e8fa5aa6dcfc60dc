package publisher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/decoder"
	"github.com/pgbridge/pgbridge/postgres"
	"github.com/pgbridge/pgbridge/slot"
)

// The size of records, in bytes of their bodies before compression. A record
// under load is targetSize and a little; only a transaction over splitSize is
// cut into parts.
const (
	targetSize = 4 << 20
	splitSize  = 8 << 20
)

// How long a commit may wait for others to share its record. The first commit
// after a pause does not wait at all.
const (
	flushDelay = 50 * time.Millisecond
	flushMost  = time.Second // while the stream is never empty
)

// capture turns the stream into batches.
type capture struct {
	stream *slot.Stream
	out    chan<- batch
	spare  <-chan []byte // memory of batches that were sealed
	guard  *guard
	// origins tells what pgbridge has applied itself.
	origins *origins

	dec     decoder.Decoder
	build   builder
	done    action.LSN // everything that ends at or before it is in the chain
	part    postgres.Part
	inTx    bool
	flushed time.Time
}

// run reads the stream until it breaks or ctx ends. Closing the stream ends it.
func (c *capture) run(ctx context.Context) error {
	for {
		msg, err := c.stream.Next(c.deadline())
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, slot.ErrDeadline):
			err = c.flush(ctx)
		case err != nil:
			return explainEnd(err)
		case msg.Data == nil:
			err = c.keepalive(ctx, msg.End)
		default:
			err = c.take(ctx, msg.Data)
		}
		if err != nil {
			return err
		}
	}
}

// deadline is when what is collected is to be sent on.
func (c *capture) deadline() time.Time {
	if c.inTx || c.build.pending() == 0 {
		return time.Time{}
	}
	return c.flushed.Add(flushDelay)
}

func (c *capture) take(ctx context.Context, data []byte) error {
	e, err := c.dec.Decode(data)
	if err != nil {
		return err
	}
	switch e.Kind {
	case decoder.Begin:
		c.inTx = true
		c.build.begin(action.Tx{LSN: e.LSN, XID: e.XID, At: e.Time}, e.LSN < c.done, c.part)
	case decoder.Origin:
		echo, err := c.origins.echo(ctx, e.Name)
		if err != nil {
			return err
		}
		if echo {
			c.build.drop()
		}
	case decoder.Row:
		c.build.row(e.Shape, e.Values)
		return c.cut(ctx)
	case decoder.Truncate:
		c.build.truncate(e.Truncates)
		return c.cut(ctx)
	case decoder.Commit:
		c.inTx = false
		if err := c.build.commit(e.End); err != nil {
			return err
		}
		return c.committed(ctx)
	case decoder.Message:
		if e.Transactional && e.Name == markPrefix {
			if err := c.build.message(e.Content); err != nil {
				return err
			}
			for _, r := range c.build.takeRenames() {
				c.dec.RenameSchema(r[0], r[1])
			}
			return c.cut(ctx)
		}
	case decoder.Nothing:
	}
	return nil
}

// cut sends on a transaction that grows over the size of a record.
func (c *capture) cut(ctx context.Context) error {
	if !c.build.full() {
		return nil
	}
	return c.send(ctx, c.build.cut(c.memory()))
}

// committed sends on what is collected when it is enough, or when it is news and
// the last record was not just now. What was in the WAL before the last record
// was sealed is no news: more of it follows, as fast as the server can.
func (c *capture) committed(ctx context.Context) error {
	if c.build.pending() == 0 {
		return c.flush(ctx)
	}
	if c.build.pending() < targetSize {
		since := time.Since(c.flushed)
		if since < flushDelay || since < flushMost && (c.stream.Buffered() || c.guard.behind(c.build.to)) {
			return nil
		}
	}
	return c.flush(ctx)
}

// keepalive says that everything up to end was sent: when nothing of it is
// collected here, the slot may move on.
func (c *capture) keepalive(ctx context.Context, end action.LSN) error {
	if c.inTx || c.build.pending() > 0 || end <= c.build.to {
		return nil
	}
	c.build.to = end
	return c.flush(ctx)
}

func (c *capture) flush(ctx context.Context) error {
	if c.build.pending() == 0 {
		return c.send(ctx, batch{to: c.build.to})
	}
	return c.send(ctx, c.build.batch(c.memory()))
}

func (c *capture) memory() []byte {
	select {
	case buf := <-c.spare:
		return buf
	default:
		return make([]byte, 0, targetSize+targetSize/4)
	}
}

// send waits while the sealer is busy: the pressure goes back to the server.
func (c *capture) send(ctx context.Context, b batch) error {
	if b.body != nil {
		c.flushed = time.Now()
	}
	select {
	case c.out <- b:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("send batch: %w", ctx.Err())
	}
}
