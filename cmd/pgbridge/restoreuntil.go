package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/sql"
)

// untilText is what --until names: a time, a checkpoint or a place in a chain. The
// zero value is the last moment.
type untilText struct {
	text       string
	time       time.Time
	checkpoint uint64
	place      archive.Place // without a writer: the owner's
}

var placePattern = regexp.MustCompile(`^(?:([0-9a-f]{64}):)?(\d+):(\d+)(?::(\d+))?$`)

func parseUntil(text string, now time.Time) (u untilText, err error) {
	u.text = text
	if number, ok := strings.CutPrefix(text, "checkpoint:"); ok {
		if u.checkpoint, err = strconv.ParseUint(number, 10, 63); err != nil || u.checkpoint == 0 {
			return u, fmt.Errorf("%q is not the number of a checkpoint", number)
		}
		return u, nil
	}
	m := placePattern.FindStringSubmatch(text)
	if m == nil {
		u.time, err = parseMoment(text, now)
		if err != nil {
			err = fmt.Errorf("%w; or checkpoint:N, or EPOCH:RECORD[:TRANSACTION] as pgbridge log prints it", err)
		}
		return u, err
	}
	if m[1] != "" {
		if u.place.Writer, err = action.ParseWriter(m[1]); err != nil {
			return u, err
		}
	}
	epoch, err1 := strconv.ParseUint(m[2], 10, 32)
	seq, err2 := strconv.ParseUint(m[3], 10, 63)
	u.place.Epoch, u.place.Seq, u.place.Tx = uint32(epoch), seq, archive.WholeRecord
	var err3 error
	if m[4] != "" {
		u.place.Tx, err3 = strconv.Atoi(m[4])
	}
	if err := errors.Join(err1, err2, err3); err != nil || epoch == 0 || seq == 0 {
		return u, fmt.Errorf("%q is no record: want EPOCH:RECORD[:TRANSACTION], from 1", text)
	}
	return u, nil
}

// resolve makes what the applier understands of it. latest is the position which a
// checkpoint may not lie behind if the restore is to begin with it, 0 for any.
func (u *untilText) resolve(ctx context.Context, r *restoring) (until archive.Moment, latest action.LSN, err error) {
	switch {
	case u.checkpoint > 0:
		c, err := r.confirmed(ctx, u.checkpoint)
		if err != nil {
			return until, 0, err
		}
		return archive.Moment{Before: c.LSN}, c.LSN, nil
	case u.place.Seq > 0:
		if u.place.Writer == (action.Writer{}) {
			u.place.Writer = r.genesis.Owner
		}
		record, err := r.recordAt(ctx, checkpoint.Head{Writer: u.place.Writer, Epoch: u.place.Epoch, Seq: u.place.Seq})
		if err != nil {
			return until, 0, fmt.Errorf("--until %s: %w", u.text, err)
		}
		// What is in a checkpoint at this position, or before it, is before the record.
		return archive.Moment{Place: u.place}, record.Header.From, nil
	}
	return archive.Moment{Time: u.time}, 0, nil
}

// confirmed is a checkpoint that was asked for by its number.
func (r *restoring) confirmed(ctx context.Context, n uint64) (*checkpoint.Checkpoint, error) {
	c, err := r.finder.Open(ctx, n)
	if err == nil {
		err = r.finder.Confirm(ctx, &c)
	}
	if err != nil {
		return nil, personError{fmt.Errorf("it cannot be used: %w", err)}
	}
	return &c, nil
}

// passed tells whether a database is beyond a moment already.
func passed(u archive.Moment, p sql.Progress) bool {
	switch {
	case !u.Time.IsZero() && p.Clock.Time().After(u.Time), u.Before > 0 && p.LSN >= u.Before && p.Skip == 0:
		return true
	}
	q := u.Place
	if q.Seq == 0 || q.Writer != p.Writer || p.Epoch != q.Epoch {
		return q.Seq > 0 && q.Writer == p.Writer && p.Epoch > q.Epoch
	}
	return p.Seq > q.Seq || p.Seq == q.Seq && q.Tx != archive.WholeRecord && p.Txs > q.Tx+1
}
