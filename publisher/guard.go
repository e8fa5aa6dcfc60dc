package publisher

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/action"
)

// guard sees that nothing was passed over. The server leaves out what the
// publication does not have at that moment and gives no sign of it: a table that
// was taken out for a while, or, on 18, a publication that was dropped. What the
// event triggers changed, with the schema, is in order.
type guard struct {
	end atomic.Uint64 // of the WAL when the publication was last looked at
}

// behind says whether at lies in the WAL that was there at the last look. It
// may be called while check runs.
func (g *guard) behind(at action.LSN) bool { return uint64(at) <= g.end.Load() }

// check returns ErrPublication if the publication was changed before to. What
// lies before the end of the WAL at the last look needs no other look: far
// behind, one is enough for many records.
func (g *guard) check(ctx context.Context, conn *pgx.Conn, to action.LSN) error {
	if g.behind(to) {
		return nil
	}
	var end string
	var same bool
	looks := &pgx.Batch{} // in this order: what ends before end is committed when the publication is looked at
	looks.Queue("SELECT pg_current_wal_insert_lsn()::text").QueryRow(func(row pgx.Row) error { return row.Scan(&end) })
	looks.Queue("SELECT coalesce(pgbridge.publication_untouched(), false)").QueryRow(func(row pgx.Row) error { return row.Scan(&same) })
	err := conn.SendBatch(ctx, looks).Close()
	if err != nil {
		return fmt.Errorf("look at the publication: %w", err)
	}
	lsn, err := action.ParseLSN(end)
	if err != nil {
		return fmt.Errorf("look at the publication: %w", err)
	}
	g.end.Store(uint64(lsn))
	if !same {
		return fmt.Errorf("%w: what was written then may be missing in the archive; restore from it, or found a new database", ErrPublication)
	}
	return nil
}

// explainEnd returns ErrPublication if that is why the server ended the stream:
// up to 17 it does when the publication was dropped.
func explainEnd(err error) error {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "42704" { // undefined_object
		return fmt.Errorf("%w: %w", ErrPublication, err)
	}
	return err
}
