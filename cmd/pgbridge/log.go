package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/applier"
)

func newLog() *cobra.Command {
	var w wanted
	var id, since, until string
	var tables []string
	cmd := &cobra.Command{
		Use:   "log --db-id ID",
		Short: "List the actions in the archive, each record verified",
		Long: `Log reads the archive and no database: every action since the genesis, one line
for each row, the rows that existed then first (marked copy). Each record is
checked on the way, its signature and its place in the chain. A hole in the
chain, or two histories, end the list with exit code 3.

    2026-11-20 10:00:00.123456Z 1:42 0/16B3748 app.posts.update id=7 title="hello"

is the time of the commit, epoch:record, position in the WAL, action and values
(old->new where a key changed). Long values are cut here, never in JSON. With
--json each line is an object:

    at, hlc, lsn, xid        of the transaction; xid only if it had one
    writer, epoch, seq, tx   the record, and the transaction's place in it, from 0
    part                     from 2, of a transaction that fills several records
    copy                     true for the rows that existed at the genesis
    action, table            app.posts.update, app.posts
    key, params              what finds the row, and what it is given, by column
    restart, cascade         true if the truncate said so

Times are RFC 3339, the form that log prints (UTC), a date, or how long ago: 90m.
They are compared with the writer's clock, which never goes back.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			db, err := parseDBID(id)
			if err != nil {
				return err
			}
			if err := w.parse(tables, since, until, time.Now()); err != nil {
				return usageError{err}
			}
			return a.listActions(cmd.Context(), db, &w)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&id, "db-id", "", "the database's `id`, as pgbridge init printed it")
	flags.StringSliceVar(&tables, "table", nil, "only this `schema.table`, may be repeated")
	flags.StringSliceVar(&w.actions, "action", nil, "only actions of this `name`, whole (app.posts.update) or its last part (update), may be repeated")
	flags.StringVar(&since, "since", "", "only what was committed at this `time` or later")
	flags.StringVar(&until, "until", "", "only what was committed at this `time` or before")
	flags.Uint64Var(&w.limit, "limit", 0, "stop after this `number` of lines")
	return cmd
}

// wanted is what the list is to hold. The zero value wants everything.
type wanted struct {
	tables       map[action.Name]bool
	actions      []string
	since, until time.Time
	limit        uint64
}

func (w *wanted) parse(tables []string, since, until string, now time.Time) (err error) {
	for _, text := range tables {
		name, err := action.ParseName(text)
		if err != nil {
			return fmt.Errorf("--table: %w", err)
		}
		if w.tables == nil {
			w.tables = map[action.Name]bool{}
		}
		w.tables[name] = true
	}
	if w.since, err = parseMoment(since, now); err != nil {
		return fmt.Errorf("--since: %w", err)
	}
	if w.until, err = parseMoment(until, now); err != nil {
		return fmt.Errorf("--until: %w", err)
	}
	return nil
}

func (w *wanted) shape(s *action.Shape) bool {
	return (w.tables == nil || w.tables[s.Table]) && (len(w.actions) == 0 || w.named(s.Action()))
}

func (w *wanted) named(name string) bool {
	for _, a := range w.actions {
		if name == a || strings.HasSuffix(name, "."+a) {
			return true
		}
	}
	return false
}

func (w *wanted) early(tx action.Tx) bool {
	return !w.since.IsZero() && tx.Clock.Time().Before(w.since)
}

func (w *wanted) late(tx action.Tx) bool {
	return !w.until.IsZero() && tx.Clock.Time().After(w.until)
}

// listActions prints the actions of db.
func (a *app) listActions(ctx context.Context, db action.Digest, w *wanted) error {
	reader, err := a.reader()
	if err != nil {
		return err
	}
	genesis, _, err := applier.FetchGenesis(ctx, reader, db)
	if err != nil {
		return err
	}
	l := &lister{wanted: w, out: bufio.NewWriterSize(a.out, 64<<10), json: a.JSON}
	for entry, err := range applier.Records(ctx, reader, &genesis, a.log) {
		if err != nil {
			return errors.Join(err, l.out.Flush())
		}
		done, err := l.list(&entry)
		if err := errors.Join(err, l.out.Flush()); done || err != nil {
			return err
		}
	}
	return l.out.Flush()
}

// lister prints records, one after the other.
type lister struct {
	*wanted
	out   *bufio.Writer
	json  bool
	lines uint64

	reader action.Reader
	line   line
	buf    []byte
}

// list prints what is wanted of one record. It is done when nothing that
// follows can be wanted.
func (l *lister) list(e *applier.Entry) (done bool, err error) {
	l.line.header = &e.Header
	l.line.tx = -1
	l.reader.Reset(e.Text)
	for l.reader.Tx() {
		l.line.tx++
		l.line.head = l.reader.Head()
		if l.late(l.line.head) {
			return true, nil
		}
		if l.early(l.line.head) {
			continue
		}
		if done, err := l.transaction(); done || err != nil {
			return done, err
		}
	}
	if err := l.reader.Err(); err != nil {
		return false, fmt.Errorf("record %d: %w", e.Header.Seq, err)
	}
	return false, nil
}

func (l *lister) transaction() (done bool, err error) {
	for l.reader.Action() {
		s := l.reader.Shape()
		if !l.shape(s) {
			continue
		}
		if s.Op == action.Truncate {
			if done, err := l.print(s, nil); done || err != nil {
				return done, err
			}
		}
		for l.reader.Row() {
			if done, err := l.print(s, l.reader.Values()); done || err != nil {
				return done, err
			}
		}
	}
	return false, nil
}

func (l *lister) print(s *action.Shape, values []action.Value) (done bool, err error) {
	if l.json {
		l.buf = l.line.appendJSON(l.buf[:0], s, values)
	} else {
		l.buf = l.line.appendText(l.buf[:0], s, values)
	}
	l.lines++
	_, err = l.out.Write(append(l.buf, '\n'))
	return l.lines == l.limit, err
}
