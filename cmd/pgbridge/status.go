package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

func newStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say how far this database is, and what is wrong with it",
		Long: `Status reads the database, and asks the archives what a follower is behind of.
It needs no key, and --archive only for that. It changes nothing, and may be
asked at any time.

Exit codes: 0 all is well. 1 something is amiss that passes when its cause is
gone: run is not at work, an archive takes nothing or cannot be reached, records
are not there yet. 3 a person must decide: the slot is lost, records are parked
or in quarantine, init did not finish.

With --json it prints one object (times in RFC 3339, sizes in bytes):

    db, name, role, stage, running
    publishes                what this database writes; missing if nothing
      writer, epoch, seq, at           the last record and its time
      forged                           marks of calls that were not true and did not
                                       count, if any; their changes are there as rows
      slot                             name, found, active, wal_status, lag_bytes (not
                                       yet confirmed), wal_bytes (kept for it)
      outbox                           records, bytes, oldest_seconds
      archives                         archive, accepted, confirmed (the last: epoch, seq,
                                       at), waiting (records it does not have), failing
                                       and parked (the oldest: epoch, seq, at, attempts, error)
      checkpoints                      making, last (number, epoch, digest, lsn, seq, at, bytes,
                                       waiting: not in every archive), failed (at, error:
                                       of the last scheduled one); null where there is none
    follows                  a list: what this database applies, by writer
      writer, epoch, seq, complete, at, applied_at     the last record
      head                             the last record the archives know; null if they
                                       could not be asked, then archive_error says why
      lag_records, lag_seconds         0 when caught up; null without head
      holes                            first, last: not in the archives' index
    under_way                what sessions of the bridge execute in a follower at this
                             moment: statement, since, waits (for what, if for anything);
                             missing if nothing
    drill                    the last pgbridge drill: at, ok, person, seconds, report (what
                             pgbridge drill --json printed); missing if there was none
    actions                  count, errors and warnings: what is wrong with the named
                             actions (pgbridge action list); missing if there are none
    quarantine               a list of entries as pgbridge quarantine show prints them
    problems                 a list: problem, and person: whether one must decide`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			s, err := a.status(cmd.Context())
			if err != nil {
				return err
			}
			if err := a.print(s, "%s", s.text()); err != nil {
				return err
			}
			return s.verdict()
		},
	}
}

// status is all that is to be said of a database.
type status struct {
	DB         string              `json:"db"` // empty while init is at work
	Name       string              `json:"name"`
	Role       postgres.Role       `json:"role"`
	Stage      postgres.Stage      `json:"stage"`
	Running    bool                `json:"running"`
	Publishes  *publishing         `json:"publishes,omitempty"`
	Follows    []following         `json:"follows,omitempty"`
	UnderWay   []postgres.Activity `json:"under_way,omitempty"`
	Drill      *drillStatus        `json:"drill,omitempty"`
	Actions    *actionStatus       `json:"actions,omitempty"`
	Quarantine []quarantine        `json:"quarantine,omitempty"`
	Problems   []problem           `json:"problems"`

	now         time.Time // at the server
	initAtWork  bool
	noArchive   bool // none to ask was given
	hasProgress []postgres.Progress
}

// problem is something that is not well. Person: it does not pass by itself.
type problem struct {
	Problem string `json:"problem"`
	Person  bool   `json:"person"`
}

func (s *status) passing(format string, args ...any) {
	s.Problems = append(s.Problems, problem{fmt.Sprintf(format, args...), false})
}

func (s *status) decide(format string, args ...any) {
	s.Problems = append(s.Problems, problem{fmt.Sprintf(format, args...), true})
}

// verdict is nil when all is well, else an error for the exit code. What is
// wrong is printed already.
func (s *status) verdict() error {
	n := len(s.Problems)
	switch {
	case n == 0:
		return nil
	case slices.ContainsFunc(s.Problems, func(p problem) bool { return p.Person }):
		return personError{fmt.Errorf("not well (%d): a person must decide", n)}
	}
	return fmt.Errorf("not well (%d)", n)
}

func (a *app) status(ctx context.Context) (*status, error) {
	conn, err := a.database(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var putters []archive.Putter
	var reader *archive.Multi
	if len(a.Archives) > 0 {
		if putters, reader, err = a.archives(); err != nil {
			return nil, err
		}
		reader.Log = nil // what it cannot reach is in the status
	}
	s := &status{Problems: []problem{}, noArchive: reader == nil || len(reader.Members) == 0}
	if err := a.readStatus(ctx, conn, s, putters); err != nil {
		return nil, err
	}
	for _, p := range s.hasProgress {
		s.follow(ctx, reader, p)
	}
	s.judge()
	return s, nil
}

// readStatus reads what the database knows, all of it at one moment.
func (a *app) readStatus(ctx context.Context, conn *pgx.Conn, s *status, putters []archive.Putter) error {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return fmt.Errorf("read status: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	d, err := loadDatabase(ctx, tx)
	if err != nil {
		return err
	}
	s.Name, s.Role, s.Stage = d.Name, d.Role, d.Stage
	if !d.ID.IsZero() {
		s.DB = d.ID.String()
	}
	if err := tx.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&s.now); err != nil {
		return fmt.Errorf("read the server's time: %w", err)
	}
	if s.Running, err = postgres.LockRun.Held(ctx, tx); err != nil {
		return err
	}
	if s.initAtWork, err = postgres.LockInit.Held(ctx, tx); err != nil {
		return err
	}
	if s.Publishes, err = readPublishing(ctx, conn, d.Slot, s.now, putters); err != nil {
		return err
	}
	if s.hasProgress, err = postgres.ListProgress(ctx, tx); err != nil {
		return err
	}
	if len(s.hasProgress) > 0 {
		if s.UnderWay, err = postgres.UnderWay(ctx, tx); err != nil {
			return err
		}
	}
	if s.Drill, err = readDrill(ctx, tx); err != nil {
		return err
	}
	if s.Actions, err = readActions(ctx, tx); err != nil {
		return err
	}
	s.Quarantine, err = (&quarantines{q: tx}).open(ctx)
	return err
}

// judge finds what is wrong.
func (s *status) judge() {
	switch {
	case s.Stage == postgres.StageInit && !s.initAtWork:
		s.decide("pgbridge init did not finish: run it again")
	case s.Stage == postgres.StageInit:
		return
	case !s.Running:
		s.passing("pgbridge run is not at work")
	}
	if s.Publishes != nil {
		s.Publishes.judge(s)
	}
	for i := range s.Follows {
		s.Follows[i].judge(s)
	}
	s.Drill.judge(s)
	s.Actions.judge(s)
	s.judgeQuarantine()
}
