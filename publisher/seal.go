package publisher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

// sealer turns batches into records, one after the other, and keeps them in
// the outbox.
type sealer struct {
	conn   *pgx.Conn
	key    archive.Key
	wallet archive.Wallet
	db     action.Digest
	schema action.Digest // of the genesis
	chain  postgres.Chain
	floors floors
	guard  *guard
	ack    func(action.LSN)
	stored func()        // called when the outbox has a new record
	spare  chan<- []byte // takes back the memory of batches
}

// run seals until batches is closed or ctx ends.
func (s *sealer) run(ctx context.Context, batches <-chan batch) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b, ok := <-batches:
			if !ok {
				return nil
			}
			if err := s.take(ctx, b); err != nil {
				return err
			}
		}
	}
}

func (s *sealer) take(ctx context.Context, b batch) error {
	if err := s.guard.check(ctx, s.conn, b.to); err != nil {
		return err
	}
	if b.body != nil {
		if err := s.seal(ctx, b); err != nil {
			return err
		}
		s.stored()
	}
	// Durable: everything up to here is in the outbox. A crash before the
	// server hears it makes it send again what the chain already has.
	s.ack(b.to)
	return nil
}

func (s *sealer) seal(ctx context.Context, b batch) error {
	if b.restart {
		clear(s.floors) // of the sequences that restart here, and of which only the table is known
	}
	if b.part == (postgres.Part{}) && !b.copied {
		if err := s.appendFloors(ctx, &b); err != nil {
			return err
		}
	}
	h := archive.Header{
		Type: archive.TypeActions, DB: s.db, Epoch: s.chain.Epoch, Seq: s.chain.Seq + 1, Prev: s.chain.Digest,
		Txs: b.txs, From: s.chain.End, To: max(b.to, s.chain.End), System: s.chain.System, Timeline: s.chain.Timeline, Schema: s.chain.SchemaOr(s.schema),
	}
	if err := checkText(b.body); err != nil {
		return fmt.Errorf("record %d: %w", h.Seq, err)
	}
	record, err := archive.Seal(s.key, h, b.body)
	if err != nil {
		return err
	}
	select {
	case s.spare <- b.body:
	default:
	}
	item, err := archive.Wrap(s.wallet, &record, b.actions)
	if err != nil {
		return fmt.Errorf("wrap record %d: %w", h.Seq, err)
	}
	next := s.chain
	next.Seq, next.Digest, next.End, next.Part, next.Clock = h.Seq, record.Digest, h.To, b.part, b.clock
	if b.named != nil {
		next.Named = b.named
	}
	if len(b.changes) > 0 {
		next.Schema = h.Schema
	}
	for _, c := range b.changes {
		next.Schema = action.NextSchema(next.Schema, c.statement, c.settings)
	}
	if err := insertRecord(ctx, s.conn, next, item, &b); err != nil {
		return err
	}
	s.chain = next
	return nil
}

// checkText refuses what no reader would take. The server takes text from
// functions in C, and from casts without function, as it is.
func checkText(body []byte) error {
	if utf8.Valid(body) {
		return nil
	}
	at := 0
	for r, n := utf8.DecodeRune(body); r != utf8.RuneError || n != 1; r, n = utf8.DecodeRune(body[at:]) {
		at += n
	}
	const before = `{"action":"`
	name := ""
	if i := bytes.LastIndex(body[:at], []byte(before)); i >= 0 {
		name, _, _ = strings.Cut(string(body[i+len(before):at]), `","`)
	}
	return fmt.Errorf("%w, in %s: correct the row, drop schema pgbridge and run pgbridge init again: it cannot be published as it is", ErrText, name)
}

// insertRecord makes a record durable: outbox and chain in one statement.
func insertRecord(ctx context.Context, conn *pgx.Conn, c postgres.Chain, item archive.Item, b *batch) error {
	var named *string // only if they changed
	if b.named != nil {
		text, err := json.Marshal(b.named)
		if err != nil {
			return fmt.Errorf("put definitions into the chain: %w", err)
		}
		all := string(text)
		named = &all
	}
	var schema *string // only if it changed
	if len(b.changes) > 0 {
		digest := c.Schema.String()
		schema = &digest
	}
	var part *string
	if c.Part != (postgres.Part{}) {
		lsn := c.Part.LSN.String()
		part = &lsn
	}
	tag, err := conn.Exec(ctx, `WITH moved AS (
			UPDATE pgbridge.chain SET seq = $2, digest = $3, end_lsn = $4::text::pg_lsn, part_lsn = $5::text::pg_lsn, parts = $6, part_rows = $7, clock = $8,
				definitions = coalesce($13::text::jsonb, definitions), forged = forged + $14,
				schema = coalesce($15, schema)
			WHERE writer = $9 AND epoch = $1 AND seq = $2::bigint - 1 RETURNING 1)
		INSERT INTO pgbridge.outbox (epoch, seq, digest, end_lsn, item_id, item, txs)
		SELECT $1, $2, $3, $4::text::pg_lsn, $10, $11, $12 FROM moved`,
		int64(c.Epoch), int64(c.Seq), c.Digest.String(), c.End.String(), part, c.Part.Parts, c.Part.Rows, c.Clock.String(), c.Writer.String(),
		item.ID, item.Bytes, b.txs, named, b.forged, schema)
	if err != nil {
		return fmt.Errorf("put record %d into the outbox: %w", c.Seq, err)
	}
	if tag.RowsAffected() != 1 {
		return fmt.Errorf("put record %d into the outbox: the chain is not at record %d: is another pgbridge run at work on this database?", c.Seq, c.Seq-1)
	}
	return nil
}

// floors are the last values of the sequences as they were last published.
type floors map[string]string

// appendFloors adds a line with the sequences that have moved. They are read
// after the transactions of the batch were committed, so every value that these
// drew is covered.
func (s *sealer) appendFloors(ctx context.Context, b *batch) error {
	moved, err := s.floors.moved(ctx, s.conn)
	if err != nil || len(moved) == 0 {
		return err
	}
	b.body = appendFloors(b.body, action.Tx{LSN: b.to, At: b.at, Clock: b.clock}, moved)
	b.txs++
	return nil
}

// appendFloors appends the line that sets sequences.
func appendFloors(body []byte, tx action.Tx, moved [][2]string) []byte {
	var line action.Body
	line.Begin(tx)
	shape := action.NewSequences()
	for _, m := range moved {
		line.Row(shape, [][]byte{[]byte(m[0]), []byte(m[1])})
	}
	line.End()
	return append(body, line.Bytes()...)
}

// moved returns the sequences whose value is not the one published last, and
// takes the new ones as published. It returns none while a transaction has a sequence
// locked: a later record has them.
func (f floors) moved(ctx context.Context, conn *pgx.Conn) ([][2]string, error) {
	all, err := readSequences(ctx, conn)
	for n := 0; n < 20 && isDropped(err); n++ { // while they were read
		all, err = readSequences(ctx, conn)
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "55P03" { // lock_not_available
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var moved [][2]string
	for _, s := range all {
		value, drawn := floorOf(&s)
		if name := s.Name.String(); drawn && f[name] != value {
			moved = append(moved, [2]string{name, value})
			f[name] = value
		}
	}
	return moved, nil
}

func readSequences(ctx context.Context, conn *pgx.Conn) (all []postgres.Sequence, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		all, err = postgres.ReadableSequences(ctx, tx)
		return err
	})
	return all, err
}

// floorOf is the last value that a sequence gave. One that has given none yet, and was set
// to begin elsewhere than where it starts, counts as if it had given the value before.
func floorOf(s *postgres.Sequence) (value string, drawn bool) {
	last := s.Last
	if !s.Called {
		if s.Step > 0 && last <= s.Start || s.Step < 0 && last >= s.Start {
			return "", false
		}
		step, room := uint64(s.Step), uint64(last)-uint64(s.Min) // differences that can exceed int64
		if s.Step < 0 {
			step, room = -step, uint64(s.Max)-uint64(last)
		}
		if step <= room {
			last -= s.Step
		}
	}
	return strconv.FormatInt(last, 10), true
}

// isDropped tells whether what a query read was dropped at that moment.
func isDropped(err error) bool {
	var pgErr *pgconn.PgError
	return errors.Is(err, postgres.ErrRenamed) || errors.As(err, &pgErr) && (pgErr.Code == "XX000" || pgErr.Code == "55000" || pgErr.Code == "42P01" || pgErr.Code == "3F000")
}
