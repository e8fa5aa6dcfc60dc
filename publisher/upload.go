package publisher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgbridge/pgbridge/archive"
)

// uploader brings the outbox to one archive. Its state is in the database:
// what it does not know after a crash it asks the archive.
type uploader struct {
	conn    *pgx.Conn
	store   archive.Putter
	targets int // how many archives must have a record before it leaves the outbox
	log     *slog.Logger
	wake    <-chan struct{}

	confirmed time.Time // when the last questions for promised items were asked
}

const (
	uploadWindow   = 8        // items read from the outbox at once
	uploadBytes    = 16 << 20 // bytes of them, but for the last
	uploadParallel = 4        // of them in flight
	// retryDelay is the pause after an archive failed; its client has retried
	// what looked transient already.
	retryDelay = 2 * time.Second
	fundsDelay = time.Minute
	// confirmDelay is the pause between questions for items that are promised
	// and not yet permanent.
	confirmDelay = time.Minute
)

// spooled is an item of the outbox on its way.
type spooled struct {
	epoch, seq int64
	id         string
	item       []byte
	attempts   int
}

// delivered is what came of it.
type delivered struct {
	spooled
	state   string
	receipt []byte
	err     error
}

// run uploads until ctx ends. A failing archive is not an error: it is shown
// by status, and tried again.
func (u *uploader) run(ctx context.Context) error {
	if err := u.unpark(ctx); err != nil {
		return err
	}
	for {
		pause, failed, err := u.round(ctx)
		if err != nil {
			return fmt.Errorf("upload to %s: %w", u.store.Name(), err)
		}
		if pause == 0 {
			continue
		}
		wake := u.wake
		if failed {
			wake = nil // a new record is no reason to ask a failing archive sooner
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		case <-wake:
			timer.Stop()
		}
	}
}

// unpark tries what the archive refused once more: a person has looked at it,
// or else it will be refused again.
func (u *uploader) unpark(ctx context.Context) error {
	_, err := u.conn.Exec(ctx, `UPDATE pgbridge.delivery SET state = 'spooled', changed_at = clock_timestamp() WHERE archive = $1 AND state = 'parked'`, u.store.Name())
	if err != nil {
		return fmt.Errorf("unpark records: %w", err)
	}
	return nil
}

// round delivers one window of the outbox, and says how long to wait before the
// next and whether that is because of a failure.
func (u *uploader) round(ctx context.Context) (pause time.Duration, failed bool, err error) {
	if time.Since(u.confirmed) >= confirmDelay {
		if err := u.confirm(ctx); err != nil {
			return 0, false, err
		}
	}
	items, err := u.next(ctx)
	if err != nil {
		return 0, false, err
	}
	if len(items) == 0 {
		return confirmDelay, false, nil
	}
	results := make([]delivered, len(items))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(uploadParallel)
	for i, item := range items {
		group.Go(func() error {
			results[i] = u.deliver(gctx, item)
			return nil
		})
	}
	_ = group.Wait() // results carry the errors
	if ctx.Err() != nil {
		return 0, false, ctx.Err()
	}
	pause, err = u.record(ctx, results)
	return pause, pause > 0, err
}

// nextItems are the oldest items that an archive does not have, as many as fit:
// one at least.
const nextItems = `SELECT epoch, seq, item_id, item, attempts FROM (
		SELECT *, sum(octet_length(item)) OVER (ORDER BY epoch, seq) - octet_length(item) AS before FROM (
			SELECT o.epoch, o.seq, o.item_id, o.item, coalesce(d.attempts, 0) AS attempts
			FROM pgbridge.outbox o LEFT JOIN pgbridge.delivery d ON d.archive = $1 AND d.epoch = o.epoch AND d.seq = o.seq
			WHERE coalesce(d.state, 'spooled') = 'spooled' ORDER BY o.epoch, o.seq LIMIT $2) oldest) sized
	WHERE before < $3 ORDER BY epoch, seq`

// next reads them.
func (u *uploader) next(ctx context.Context) ([]spooled, error) {
	rows, err := u.conn.Query(ctx, nextItems, u.store.Name(), uploadWindow, uploadBytes)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	items, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s spooled, err error) {
		return s, row.Scan(&s.epoch, &s.seq, &s.id, &s.item, &s.attempts)
	})
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	return items, nil
}

// deliver posts one item. An item that was tried before may be there: ask
// before posting it, and paying for it, again.
func (u *uploader) deliver(ctx context.Context, s spooled) delivered {
	if s.attempts > 0 {
		if d, ok := u.ask(ctx, s); ok {
			return d
		}
	}
	receipt, err := u.store.Put(ctx, s.item)
	if errors.Is(err, archive.ErrMaybe) {
		if d, ok := u.ask(ctx, s); ok {
			return d
		}
	}
	switch {
	case err == nil:
		return delivered{spooled: s, state: max(receipt.State, archive.Accepted).String(), receipt: receipt.Raw}
	case errors.Is(err, archive.ErrRejected):
		return delivered{spooled: s, state: "parked", err: err}
	}
	return delivered{spooled: s, state: "spooled", err: err}
}

// ask tells whether the archive has the item already.
func (u *uploader) ask(ctx context.Context, s spooled) (delivered, bool) {
	state, err := u.store.Status(ctx, s.id)
	if err != nil || state < archive.Accepted {
		return delivered{}, false
	}
	return delivered{spooled: s, state: state.String()}, true
}

// record notes what came of a round. Losing the note in a crash only makes the
// next round ask again, so it is not waited for.
func (u *uploader) record(ctx context.Context, results []delivered) (time.Duration, error) {
	batch := &pgx.Batch{}
	batch.Queue("SET LOCAL synchronous_commit = off")
	var pause time.Duration
	for _, r := range results {
		var message *string
		if r.err != nil {
			text := r.err.Error()
			message = &text
			pause = max(pause, pauseAfter(r.err))
			u.log.Warn("record not delivered", "archive", u.store.Name(), "epoch", r.epoch, "seq", r.seq, "error", r.err)
		}
		batch.Queue(`INSERT INTO pgbridge.delivery AS d (archive, epoch, seq, state, item_id, receipt, attempts, error) VALUES ($1, $2, $3, $4, $5, $6, 1, $7)
			ON CONFLICT (archive, epoch, seq) DO UPDATE SET state = excluded.state, receipt = coalesce(excluded.receipt, d.receipt),
				attempts = d.attempts + 1, error = excluded.error, changed_at = clock_timestamp()`,
			u.store.Name(), r.epoch, r.seq, r.state, r.id, nullJSON(r.receipt), message)
	}
	batch.Queue(release, u.targets)
	if err := u.send(ctx, batch); err != nil {
		return 0, fmt.Errorf("note delivery: %w", err)
	}
	return pause, nil
}

func pauseAfter(err error) time.Duration {
	if errors.Is(err, archive.ErrFunds) {
		return fundsDelay
	}
	return retryDelay
}

// nullJSON is raw as the database can keep it: what a stranger answered may be
// no JSON, or hold a zero, which jsonb does not take.
func nullJSON(raw []byte) any {
	if !json.Valid(raw) || bytes.Contains(raw, []byte(`\u0000`)) {
		return nil
	}
	return string(raw)
}

func (u *uploader) send(ctx context.Context, batch *pgx.Batch) error {
	return pgx.BeginFunc(ctx, u.conn, func(tx pgx.Tx) error { return tx.SendBatch(ctx, batch).Close() })
}

// release lets records go that every archive has for good, and forgets how they
// were delivered but for the newest.
const release = `WITH gone AS (
		DELETE FROM pgbridge.outbox o WHERE (SELECT count(*) FROM pgbridge.delivery d WHERE d.epoch = o.epoch AND d.seq = o.seq AND d.state = 'confirmed') >= $1
		RETURNING epoch, seq)
	DELETE FROM pgbridge.delivery d USING (SELECT epoch, max(seq) AS seq FROM gone GROUP BY epoch) newest
	WHERE d.epoch = newest.epoch AND d.seq < newest.seq AND d.state = 'confirmed'
		AND NOT EXISTS (SELECT FROM pgbridge.outbox o WHERE o.epoch = d.epoch AND o.seq = d.seq)`

// confirm asks for what is promised and not yet permanent.
func (u *uploader) confirm(ctx context.Context) error {
	u.confirmed = time.Now()
	rows, err := u.conn.Query(ctx, `SELECT epoch, seq, item_id FROM pgbridge.delivery WHERE archive = $1 AND state = 'accepted' ORDER BY epoch, seq LIMIT 100`, u.store.Name())
	if err != nil {
		return fmt.Errorf("read deliveries: %w", err)
	}
	accepted, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s spooled, err error) {
		return s, row.Scan(&s.epoch, &s.seq, &s.id)
	})
	if err != nil {
		return fmt.Errorf("read deliveries: %w", err)
	}
	batch := &pgx.Batch{}
	batch.Queue("SET LOCAL synchronous_commit = off")
	for _, s := range accepted {
		state, err := u.store.Status(ctx, s.id)
		if err != nil {
			u.log.Warn("status not known", "archive", u.store.Name(), "epoch", s.epoch, "seq", s.seq, "error", err)
			break
		}
		if next := stateAfter(state); next != "accepted" {
			batch.Queue(`UPDATE pgbridge.delivery SET state = $4, changed_at = clock_timestamp() WHERE archive = $1 AND epoch = $2 AND seq = $3`,
				u.store.Name(), s.epoch, s.seq, next)
		}
	}
	batch.Queue(release, u.targets)
	if err := u.send(ctx, batch); err != nil {
		return fmt.Errorf("note confirmation: %w", err)
	}
	return nil
}

// stateAfter is the state of an item that was promised once and of which the
// archive now says state: what it no longer knows is posted again.
func stateAfter(state archive.State) string {
	switch state {
	case archive.Confirmed:
		return "confirmed"
	case archive.Unknown:
		return "spooled"
	}
	return "accepted"
}
