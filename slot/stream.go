package slot

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgbridge/pgbridge/action"
)

// ErrLost: the slot is gone, or the server can no longer read it: the WAL that
// it needed was removed, say. What was in it and not in the chain is lost to
// capture.
var ErrLost = errors.New("the slot is gone or of no use")

// Stream is the flow of one slot. Next is for one goroutine; Ack and Run may be
// used beside it.
type Stream struct {
	conn   *Conn
	acked  atomic.Uint64
	wake   chan struct{}
	closed atomic.Bool
}

// Start begins the stream. Transactions whose commit lies before from are not
// sent again, nor are those the slot has confirmed; a transaction that was
// sent before and not acknowledged is sent again, whole. After an error, which
// is ErrLost where that is the cause, the connection is good for nothing but
// Close.
func (c *Conn) Start(ctx context.Context, name, publication string, from action.LSN) (*Stream, error) {
	if err := errors.Join(checkName(name), checkName(publication)); err != nil {
		return nil, err
	}
	err := pglogrepl.StartReplication(ctx, c.pg, name, pglogrepl.LSN(from), pglogrepl.StartReplicationOptions{
		Mode:       pglogrepl.LogicalReplication,
		PluginArgs: []string{"proto_version '1'", "publication_names '" + publication + "'", "messages 'true'"},
	})
	if err != nil {
		return nil, startError(name, err)
	}
	c.gather.stream()
	s := &Stream{conn: c, wake: make(chan struct{}, 1)}
	s.acked.Store(uint64(from))
	return s, nil
}

func startError(name string, err error) error {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		switch pgErr.Code {
		case "42704", "55000": // undefined_object; object_not_in_prerequisite_state
			return fmt.Errorf("start slot %s: %w: %w%s", name, ErrLost, err, detail(pgErr))
		case "55006": // object_in_use
			return fmt.Errorf("start slot %s: %w: is another pgbridge run at work on this database?", name, err)
		}
	}
	return fmt.Errorf("start slot %s: %w", name, err)
}

// detail is what the server says beside an error; older ones say only there why
// a slot is of no use.
func detail(err *pgconn.PgError) string {
	if err.Detail == "" {
		return ""
	}
	return ": " + err.Detail
}

// Message is one message of the stream: WAL data, or, when Data is nil, a
// keepalive.
type Message struct {
	Data []byte // one message of pgoutput; valid until the next call of Next
	// End is for a keepalive the position up to which everything was sent.
	End action.LSN
}

// ErrDeadline is returned by Next when the deadline passes first. The stream
// goes on unharmed.
var ErrDeadline = os.ErrDeadlineExceeded

// Buffered tells whether Next would return without waiting or even looking.
func (s *Stream) Buffered() bool { return s.conn.wire.buffered() }

// Next returns the next message, waiting for it until the deadline (zero: for
// ever). Cancelling is done by Close.
func (s *Stream) Next(deadline time.Time) (Message, error) {
	for {
		if !s.Buffered() {
			if err := s.conn.gather.until(deadline); err != nil {
				return Message{}, fmt.Errorf("read stream: %w", err)
			}
		}
		kind, body, err := s.conn.wire.frame()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return Message{}, ErrDeadline
		}
		if err != nil {
			return Message{}, fmt.Errorf("read stream: %w", err)
		}
		switch kind {
		case 'd':
			return s.copyData(body)
		case 'N', 'S': // notice, parameter status: not ours to act on
		case 'E':
			return Message{}, fmt.Errorf("read stream: %w", serverError(body))
		default:
			return Message{}, fmt.Errorf("read stream: the server ended it (message %q)", kind)
		}
	}
}

func (s *Stream) copyData(body []byte) (Message, error) {
	switch {
	case len(body) >= 25 && body[0] == pglogrepl.XLogDataByteID:
		return Message{Data: body[25:]}, nil // start, end and time of XLogData say nothing about a logical message
	case len(body) == 18 && body[0] == pglogrepl.PrimaryKeepaliveMessageByteID:
		if body[17] == 1 {
			s.poke()
		}
		return Message{End: action.LSN(binary.BigEndian.Uint64(body[1:]))}, nil
	}
	return Message{}, fmt.Errorf("read stream: copy data of %d bytes that is neither WAL nor keepalive", len(body))
}

func serverError(body []byte) error {
	var msg pgproto3.ErrorResponse
	if err := msg.Decode(body); err != nil {
		return err
	}
	return pgconn.ErrorResponseToPgError(&msg)
}

// Ack tells the server, soon, that everything up to lsn is durable here and
// need not be sent again. Positions never go back.
func (s *Stream) Ack(lsn action.LSN) {
	for {
		old := s.acked.Load()
		if uint64(lsn) <= old {
			return
		}
		if s.acked.CompareAndSwap(old, uint64(lsn)) {
			s.poke()
			return
		}
	}
}

func (s *Stream) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// statusInterval keeps the connection alive well within wal_sender_timeout
// (default 60 s) while nothing is acknowledged and nobody calls Next, who alone
// sees the server ask.
const statusInterval = time.Second

// Run sends status replies until ctx ends: at once after Ack and when the
// server asks, and regularly. They never wait for the work of Next's caller.
func (s *Stream) Run(ctx context.Context) error {
	tick := time.NewTicker(statusInterval)
	defer tick.Stop()
	for {
		lsn := pglogrepl.LSN(s.acked.Load())
		err := pglogrepl.SendStandbyStatusUpdate(ctx, s.conn.pg, pglogrepl.StandbyStatusUpdate{
			WALWritePosition: lsn, WALFlushPosition: lsn, WALApplyPosition: lsn, // flush is set: zero would become write
		})
		if err != nil {
			return fmt.Errorf("send status to slot: %w", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-s.wake:
		}
	}
}

// Close ends the stream and its connection; a Next that waits returns an error.
func (s *Stream) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return s.conn.wire.Close()
}
