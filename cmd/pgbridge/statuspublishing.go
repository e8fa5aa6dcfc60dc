package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

// publishing is how far the outgoing direction is.
type publishing struct {
	Writer   action.Writer   `json:"writer"`
	Epoch    uint32          `json:"epoch"`
	Seq      uint64          `json:"seq"`              // of the last record
	At       *time.Time      `json:"at"`               // commit of the last transaction in it; nil: none yet
	Forged   int64           `json:"forged,omitempty"` // marks that did not count
	Slot     slotStatus      `json:"slot"`
	Outbox   outboxStatus    `json:"outbox"`
	Archives []archiveStatus `json:"archives"`

	Checkpoints checkpointStatus `json:"checkpoints"`
}

// slotStatus is what the server says of the slot.
type slotStatus struct {
	Name      string `json:"name"`
	Found     bool   `json:"found"`
	Active    bool   `json:"active"`
	WALStatus string `json:"wal_status"`
	LagBytes  int64  `json:"lag_bytes"` // written and not yet durable in the outbox
	WALBytes  int64  `json:"wal_bytes"` // kept for the slot
}

// outboxStatus is what waits for the archives.
type outboxStatus struct {
	Records       int64   `json:"records"`
	Bytes         int64   `json:"bytes"`
	OldestSeconds float64 `json:"oldest_seconds"`
}

// archiveStatus is how one archive stands with the records.
type archiveStatus struct {
	Archive   string    `json:"archive"`
	Accepted  *delivery `json:"accepted"`  // the last; nil: none yet
	Confirmed *delivery `json:"confirmed"` // the last; nil: none yet
	Waiting   int64     `json:"waiting"`   // records of the outbox that it does not have
	Failing   *delivery `json:"failing"`   // the oldest that it did not take at the last attempt
	Parked    *delivery `json:"parked"`    // the oldest that it will never take
}

// delivery is where an archive stands with one record.
type delivery struct {
	Epoch    uint32    `json:"epoch"`
	Seq      uint64    `json:"seq"`
	At       time.Time `json:"at"`
	Attempts int       `json:"attempts,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// readPublishing returns nil where the database writes nothing.
func readPublishing(ctx context.Context, conn *pgx.Conn, slot string, now time.Time, putters []archive.Putter) (*publishing, error) {
	chain, err := postgres.LoadChain(ctx, conn)
	if errors.Is(err, postgres.ErrNoChain) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := &publishing{Writer: chain.Writer, Epoch: chain.Epoch, Seq: chain.Seq, At: momentOf(chain.Clock), Archives: []archiveStatus{}}
	if err := conn.QueryRow(ctx, "SELECT forged FROM pgbridge.chain").Scan(&p.Forged); err != nil {
		return nil, fmt.Errorf("read forged marks: %w", err)
	}
	if p.Slot, err = readSlot(ctx, conn, slot); err != nil {
		return nil, err
	}
	if p.Outbox, err = readOutbox(ctx, conn, now); err != nil {
		return nil, err
	}
	if p.Checkpoints, err = readCheckpoints(ctx, conn); err != nil {
		return nil, err
	}
	names, err := archiveNames(ctx, conn, putters)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		s, err := readArchive(ctx, conn, name)
		if err != nil {
			return nil, fmt.Errorf("read deliveries to %s: %w", name, err)
		}
		p.Archives = append(p.Archives, s)
	}
	return p, nil
}

func readSlot(ctx context.Context, conn *pgx.Conn, name string) (slotStatus, error) {
	const query = `SELECT active, coalesce(wal_status, 'lost'), coalesce(pg_wal_lsn_diff(here, confirmed_flush_lsn), 0)::int8,
			coalesce(pg_wal_lsn_diff(here, restart_lsn), 0)::int8
		FROM pg_catalog.pg_replication_slots,
			(SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END) wal (here)
		WHERE slot_name = $1 AND database = current_database()`
	s := slotStatus{Name: name, Found: true}
	err := conn.QueryRow(ctx, query, name).Scan(&s.Active, &s.WALStatus, &s.LagBytes, &s.WALBytes)
	if errors.Is(err, pgx.ErrNoRows) {
		return slotStatus{Name: name}, nil
	}
	if err != nil {
		return slotStatus{}, fmt.Errorf("read slot %s: %w", name, err)
	}
	s.LagBytes = max(s.LagBytes, 0)
	return s, nil
}

func readOutbox(ctx context.Context, conn *pgx.Conn, now time.Time) (outboxStatus, error) {
	var o outboxStatus
	var oldest *time.Time
	err := conn.QueryRow(ctx, "SELECT count(*), coalesce(sum(octet_length(item)), 0)::int8, min(created_at) FROM pgbridge.outbox").
		Scan(&o.Records, &o.Bytes, &oldest)
	if err != nil {
		return outboxStatus{}, fmt.Errorf("read outbox: %w", err)
	}
	if oldest != nil {
		o.OldestSeconds = max(now.Sub(*oldest).Seconds(), 0)
	}
	return o, nil
}

// archiveNames are the archives that were delivered to, and those that are
// configured.
func archiveNames(ctx context.Context, conn *pgx.Conn, putters []archive.Putter) ([]string, error) {
	rows, err := conn.Query(ctx, "SELECT DISTINCT archive FROM pgbridge.delivery")
	if err != nil {
		return nil, fmt.Errorf("read archives: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read archives: %w", err)
	}
	for _, p := range putters {
		names = append(names, p.Name())
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func readArchive(ctx context.Context, conn *pgx.Conn, name string) (s archiveStatus, err error) {
	const (
		newest  = "SELECT epoch, seq, changed_at, 0, '' FROM pgbridge.delivery WHERE archive = $1 AND state = ANY ($2) ORDER BY epoch DESC, seq DESC LIMIT 1"
		oldest  = "SELECT epoch, seq, changed_at, attempts, coalesce(error, '') FROM pgbridge.delivery WHERE archive = $1 AND state = ANY ($2) AND error IS NOT NULL ORDER BY epoch, seq LIMIT 1"
		waiting = `SELECT count(*) FROM pgbridge.outbox o WHERE NOT EXISTS (SELECT FROM pgbridge.delivery d
			WHERE d.archive = $1 AND d.epoch = o.epoch AND d.seq = o.seq AND d.state IN ('accepted', 'confirmed'))`
	)
	s.Archive = name
	for _, part := range []struct {
		into  **delivery
		query string
		state []string
	}{
		{&s.Accepted, newest, []string{"accepted", "confirmed"}},
		{&s.Confirmed, newest, []string{"confirmed"}},
		{&s.Failing, oldest, []string{"spooled"}},
		{&s.Parked, oldest, []string{"parked"}},
	} {
		var d delivery
		err := conn.QueryRow(ctx, part.query, name, part.state).Scan(&d.Epoch, &d.Seq, &d.At, &d.Attempts, &d.Error)
		switch {
		case err == nil:
			*part.into = &d
		case !errors.Is(err, pgx.ErrNoRows):
			return archiveStatus{}, err
		}
	}
	return s, conn.QueryRow(ctx, waiting, name).Scan(&s.Waiting)
}

// judge finds what is wrong.
func (p *publishing) judge(s *status) {
	switch {
	case !p.Slot.Found:
		s.decide("slot %s is gone: what was written since record %d is not in the chain", p.Slot.Name, p.Seq)
	case p.Slot.WALStatus == "lost":
		s.decide("slot %s is lost, the server has removed its WAL: what was written since record %d is not in the chain", p.Slot.Name, p.Seq)
	case p.Slot.WALStatus == "unreserved":
		s.passing("slot %s will be lost at the next checkpoint: it holds more WAL than max_slot_wal_keep_size", p.Slot.Name)
	case s.Running && !p.Slot.Active:
		s.passing("slot %s is not read", p.Slot.Name)
	}
	p.Checkpoints.judge(s)
	for _, a := range p.Archives {
		if a.Parked != nil {
			s.decide("archive %s refused record %d:%d for good: %s", a.Archive, a.Parked.Epoch, a.Parked.Seq, a.Parked.Error)
		}
		if a.Failing != nil {
			s.passing("archive %s does not take record %d:%d: %s", a.Archive, a.Failing.Epoch, a.Failing.Seq, a.Failing.Error)
		}
	}
}
