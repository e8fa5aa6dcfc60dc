package applier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// quarantine writes down what a person has to look at. There is one entry for a
// transaction, however often it fails: a decision on it stays.
func quarantine(ctx context.Context, conn *pgx.Conn, s *Stuck) error {
	if errors.Is(s.Err, errPart) {
		return nil // why it failed is there, and stays
	}
	var state *string
	var pgErr *pgconn.PgError
	if errors.As(s.Err, &pgErr) {
		state = &pgErr.Code
	}
	detail, err := s.detail()
	if err != nil {
		return fmt.Errorf("write quarantine: %w", err)
	}
	_, err = conn.Exec(ctx, `INSERT INTO pgbridge.quarantine (writer, epoch, seq, tx, sqlstate, error, detail) VALUES ($1, $2, $3, $4, $5, $6, $7::text::json)
		ON CONFLICT (writer, epoch, seq, tx) DO UPDATE SET sqlstate = excluded.sqlstate, error = excluded.error, detail = excluded.detail, found_at = clock_timestamp()`,
		s.Writer.String(), int64(s.Epoch), int64(s.Seq), s.Tx, state, quiet(s.Err).Error(), detail)
	if err != nil {
		return fmt.Errorf("write quarantine: %w", err)
	}
	return nil
}

// detail is the JSON of the row that differs, if one does.
func (e *Stuck) detail() (*string, error) {
	var effect *EffectError
	if !errors.As(e.Err, &effect) || effect.Detail == nil {
		return nil, nil
	}
	text, err := json.Marshal(effect.Detail)
	if err != nil {
		return nil, err
	}
	detail := string(text)
	return &detail, nil
}
