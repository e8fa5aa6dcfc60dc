package checkpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// publish signs the checkpoint and makes it known: first to the chain, then to
// the archives. Between the two the record is in pgbridge.checkpoint, so that a
// crash leaves a checkpoint which settle can still bring where it belongs.
func (m *Maker) publish(ctx context.Context, conn *pgx.Conn, st *store, manifest *Manifest) (Result, error) {
	body, err := manifest.Encode()
	if err != nil {
		return Result{}, err
	}
	h := st.header
	h.Type = archive.TypeCheckpoint
	if h.Seq, h.Prev, err = follow(ctx, conn, h.Epoch, h.DB); err != nil {
		return Result{}, err
	}
	record, err := archive.Seal(m.Key, h, body)
	if err != nil {
		return Result{}, fmt.Errorf("checkpoint %d: %w", h.Seq, err)
	}
	item, err := archive.Wrap(m.wallet(), &record, nil)
	if err != nil {
		return Result{}, fmt.Errorf("wrap checkpoint %d: %w", h.Seq, err)
	}
	r := resultOf(&record, st, manifest)
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return mark(ctx, tx, &r, item.Bytes) }); err != nil {
		return Result{}, fmt.Errorf("put checkpoint %d into the chain: %w", h.Seq, err)
	}
	if err := m.send(ctx, conn, h.Seq, item, st.deliver); err != nil {
		return Result{}, err
	}
	return r, nil
}

// follow is the number of the next checkpoint, and the digest of the one before.
func follow(ctx context.Context, conn *pgx.Conn, epoch uint32, db action.Digest) (seq uint64, prev action.Digest, err error) {
	var last int64
	var digest string
	err = conn.QueryRow(ctx, `SELECT coalesce(max(number), 0), coalesce((SELECT digest FROM pgbridge.checkpoint WHERE epoch = $1 ORDER BY number DESC LIMIT 1), $2)
		FROM pgbridge.checkpoint`, int64(epoch), db.String()).Scan(&last, &digest)
	if err != nil {
		return 0, action.Digest{}, fmt.Errorf("find the last checkpoint: %w", err)
	}
	prev, err = action.ParseDigest(digest)
	return uint64(last) + 1, prev, err
}

// mark notes the checkpoint and tells the chain, in one transaction.
func mark(ctx context.Context, tx pgx.Tx, r *Result, item []byte) error {
	_, err := tx.Exec(ctx, `INSERT INTO pgbridge.checkpoint (number, epoch, digest, lsn, chain_seq, bytes, fresh, item)
		VALUES ($1, $2, $3, $4::text::pg_lsn, $5, $6, $7, $8)`,
		int64(r.Number), int64(r.Epoch), r.Digest.String(), r.LSN.String(), int64(r.ChainSeq), r.Bytes, r.Sent, item)
	if err != nil {
		return err
	}
	payload, err := json.Marshal([]string{strconv.FormatUint(r.Number, 10), r.Digest.String()})
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `SELECT pgbridge.write_mark('k', $1)`, string(payload))
	return err
}

// settle brings checkpoints that the chain names to the archives.
func (m *Maker) settle(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT number FROM pgbridge.checkpoint WHERE item IS NOT NULL ORDER BY number`)
	if err != nil {
		return fmt.Errorf("look for checkpoints to send: %w", err)
	}
	numbers, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("look for checkpoints to send: %w", err)
	}
	for _, number := range numbers {
		var raw []byte
		if err := conn.QueryRow(ctx, `SELECT item FROM pgbridge.checkpoint WHERE number = $1`, number).Scan(&raw); err != nil {
			return fmt.Errorf("read checkpoint %d: %w", number, err)
		}
		item, err := archive.ParseItem(raw)
		if err != nil {
			return fmt.Errorf("read checkpoint %d: %w", number, err)
		}
		if err := m.send(ctx, conn, uint64(number), item, deliver{to: m.Archives, again: true, log: m.logger()}); err != nil {
			return err
		}
	}
	return nil
}

// send brings a checkpoint to the archives, and forgets its bytes then.
func (m *Maker) send(ctx context.Context, conn *pgx.Conn, number uint64, item archive.Item, by deliver) error {
	if err := by.all(ctx, item.ID, item.Bytes); err != nil {
		return fmt.Errorf("send checkpoint %d: %w", number, err)
	}
	if _, err := conn.Exec(ctx, `UPDATE pgbridge.checkpoint SET item = NULL WHERE number = $1`, int64(number)); err != nil {
		return fmt.Errorf("note checkpoint %d: %w", number, err)
	}
	return nil
}

func resultOf(record *archive.Record, st *store, manifest *Manifest) Result {
	r := Result{
		Number: record.Header.Seq, Epoch: record.Header.Epoch, Digest: record.Digest, LSN: manifest.LSN, At: manifest.At,
		ChainSeq: manifest.Heads[0].Seq, Tables: len(manifest.Tables),
		Chunks: st.chunks, Size: st.size, Bytes: st.bytes, Fresh: st.sent, Sent: st.newBytes,
	}
	for _, s := range manifest.State {
		r.Rows += s.Rows
	}
	return r
}
