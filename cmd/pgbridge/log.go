package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/applier"
)

func newLog() *cobra.Command {
	var w asked
	cmd := &cobra.Command{
		Use:   "log --db-id ID",
		Short: "List the actions in the archive, each record verified",
		Long:  logHelp,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			db, err := parseDBID(w.db)
			if err != nil {
				return err
			}
			want, err := w.parse(time.Now())
			if err != nil {
				return usageError{err}
			}
			err = a.listActions(cmd.Context(), db, &w, &want)
			if w.follow {
				err = untilStopped(cmd.Context(), err)
			}
			return err
		},
	}
	w.flags(cmd.Flags())
	return cmd
}

const logHelp = `Log reads the archive and no database: every action since the genesis, one line
for each call and each row, the rows that existed then first (marked copy). Each
record is checked on the way, its signature and its place in the chain. A hole in
the chain, or two histories, end the list with exit code 3.

    2026-11-20 10:00:00.123456Z 1:42 0/16B3748 app.create_post(id=7, title="hello")
    2026-11-20 10:00:00.123456Z 1:43 0/16B3748 app.posts.update id=7 title="hello"

is the time of the commit, epoch:record, position in the WAL, and the action: a
named one with its parameters, or a row with its key and values (old->new where a
key changed). Long values are cut here, never in JSON. What a call did to rows is
in JSON, and found by --table and --row-key. With --json each line is an object:

    at, hlc, lsn, xid        of the transaction; xid only if it had one
    writer, epoch, seq, tx   the record, and the transaction's place in it, from 0
    part                     from 2, of a transaction that fills several records
    copy                     true for the rows that existed at the genesis
    action                   app.create_post; app.posts.update
    params                   of a call, or of a change that is mapped to an action,
                             by parameter; of a row what it is given, by column
    effect                   of a call: a list of what it did, each with action,
                             table, key, params as of a row
    of, key, set             of a mapped change: app.posts.update, and the row
    table, key               of a row: app.posts, and what finds the row
    restart, cascade         true if the truncate said so

Times are RFC 3339, the form that log prints (UTC), a date, or how long ago: 90m.
They are compared with the writer's clock, which never goes back.

--follow goes on with what arrives, and ends on an interrupt; a hole is then waited
for. --by-tag asks the index for the records of --action, and fetches no others:
their signatures are checked, but not that none is missing.`

// listActions prints the actions of db.
func (a *app) listActions(ctx context.Context, db action.Digest, how *asked, w *wanted) error {
	reader, err := a.reader()
	if err != nil {
		return err
	}
	record, genesis, err := applier.FetchGenesis(ctx, reader, db)
	if err != nil {
		return err
	}
	if err := w.of(&genesis); err != nil {
		return err
	}
	entries := applier.Records(ctx, reader, &record, a.log)
	switch {
	case how.follow:
		entries = applier.Follow(ctx, reader, &record, a.log)
	case how.byTag:
		entries = tagged(ctx, reader, &record, w.actions, a.log)
	}
	l := &lister{wanted: w, out: bufio.NewWriterSize(a.out, 64<<10), json: a.JSON}
	for entry, err := range entries {
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
	if l.writer != (action.Writer{}) && l.writer != e.Header.Writer {
		return false, nil
	}
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
	deeds(&l.reader, func(d *deed) bool {
		if l.wanted.deed(d) {
			done, err = l.print(d)
		}
		return done || err != nil
	})
	return done, err
}

func (l *lister) print(d *deed) (done bool, err error) {
	if l.json {
		l.buf = l.line.appendJSON(l.buf[:0], d)
	} else {
		l.buf = l.line.appendText(l.buf[:0], d)
	}
	l.lines++
	_, err = l.out.Write(append(l.buf, '\n'))
	return l.lines == l.limit, err
}
