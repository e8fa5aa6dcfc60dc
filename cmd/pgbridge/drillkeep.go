package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/postgres"
)

// canKeep returns an error if there is no place for the file: a drill takes long.
func (d *drill) canKeep() error {
	if d.out == "" {
		return nil
	}
	if _, err := os.Stat(filepath.Dir(d.out)); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}

// keep writes the result to the database, and to the file.
func (d *drill) keep(ctx context.Context) error {
	text, err := json.Marshal(d.report)
	if err != nil {
		return err
	}
	return errors.Join(d.keepInDatabase(ctx, text), d.keepInFile(text))
}

func (d *drill) keepInDatabase(ctx context.Context, text []byte) error {
	if d.DatabaseURL == "" {
		return nil
	}
	conn, err := d.database(ctx) // the one of before has been idle for long
	if err != nil {
		return fmt.Errorf("keep the result: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, `INSERT INTO pgbridge.drill (ok, person, seconds, report) VALUES ($1, $2, $3, $4)`,
		d.report.OK, d.report.Person, d.report.Seconds.Total, string(text))
	if err != nil {
		return fmt.Errorf("keep the result: %w", err)
	}
	return nil
}

// keepInFile replaces the file at once: whoever reads it finds a whole one.
func (d *drill) keepInFile(text []byte) error {
	if d.out == "" {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(d.out), filepath.Base(d.out)+".*")
	if err != nil {
		return fmt.Errorf("keep the result: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), d.out)
	}
	if err != nil {
		return fmt.Errorf("keep the result: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// tell prints the result. Of a drill that failed, people are told by the error.
func (d *drill) tell() error {
	if d.report.OK || d.JSON {
		return d.print(d.report, "%s", d.report.text())
	}
	return nil
}

func (r *drillReport) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "drill of %s (%s) on PostgreSQL %s: restored in %.1f s, as of %s\n", r.Name, r.DB, r.Postgres, r.Seconds.Restore, r.AsOf.Format(time.RFC3339))
	fmt.Fprintf(&b, "%s, %s, %s\n", many(r.Tables, "table"), many(int(r.Rows), "row"), byteText(r.Bytes))
	began := "the genesis"
	if r.Checkpoint > 0 {
		began = fmt.Sprintf("checkpoint %d", r.Checkpoint)
	}
	fmt.Fprintf(&b, "it began with %s and replayed %s; %s\n", began, records(int64(r.Records)), r.proof())
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "%s\n", w)
	}
	return b.String()
}

// proof says what the rows were compared with.
func (r *drillReport) proof() string {
	switch {
	case r.Checked > 0:
		return fmt.Sprintf("on the way all tables were equal to checkpoint %d", r.Checked)
	case r.Checkpoint > 0:
		return "the tables of the checkpoint had the sums that it says"
	}
	return "there is no checkpoint to compare the tables with"
}

// drillStatus is the last drill.
type drillStatus struct {
	At      time.Time   `json:"at"` // when it was over
	OK      bool        `json:"ok"`
	Person  bool        `json:"person"`
	Seconds float64     `json:"seconds"`
	Report  drillReport `json:"report"`
}

// readDrill returns nil where there was none.
func readDrill(ctx context.Context, q postgres.Querier) (*drillStatus, error) {
	var s drillStatus
	err := q.QueryRow(ctx, `SELECT at, ok, person, seconds, report FROM pgbridge.drill ORDER BY at DESC LIMIT 1`).Scan(&s.At, &s.OK, &s.Person, &s.Seconds, &s.Report)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the last drill: %w", err)
	}
	return &s, nil
}

// judge finds what is wrong.
func (s *drillStatus) judge(all *status) {
	switch {
	case s == nil || s.OK:
	case s.Person:
		all.decide("the last drill failed: %s", s.Report.Error)
	default:
		all.passing("the last drill failed: %s", s.Report.Error)
	}
}

func (s *drillStatus) text(line liner, now time.Time) {
	switch {
	case s == nil:
	case s.OK:
		line("drill", "%s: restored in %.1f s, %s", ago(now, s.At), s.Report.Seconds.Restore, s.Report.proof())
	default:
		line("drill", "%s: failed", ago(now, s.At))
	}
}
