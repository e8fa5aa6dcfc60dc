package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// moment is one as a person names it: by a time, a checkpoint, a place in the
// chain, or an item. The zero value is the end of the chain.
type moment struct {
	text       string
	time       time.Time
	checkpoint uint64
	item       string        // id of the data item; place.Tx is in it
	place      archive.Place // without a writer: the owner's
}

var (
	placePattern = regexp.MustCompile(`^(?:([0-9a-f]{64}):)?(\d+):(\d+)(?::(\d+))?$`)
	itemPattern  = regexp.MustCompile(`^([A-Za-z0-9_-]{43})(?::(\d+))?$`)
)

func parseMoment(text string, now time.Time) (m moment, err error) {
	m.text = text
	if number, ok := strings.CutPrefix(text, "checkpoint:"); ok {
		if m.checkpoint, err = strconv.ParseUint(number, 10, 63); err != nil || m.checkpoint == 0 {
			return m, fmt.Errorf("%q is not the number of a checkpoint", number)
		}
		return m, nil
	}
	if parts := placePattern.FindStringSubmatch(text); parts != nil {
		m.place, err = parsePlace(parts[1], parts[2], parts[3], parts[4])
		if err != nil {
			err = fmt.Errorf("%q is no record: want EPOCH:RECORD[:TRANSACTION]: %w", text, err)
		}
		return m, err
	}
	if parts := itemPattern.FindStringSubmatch(text); parts != nil {
		m.item = parts[1]
		m.place.Tx, err = parseTx(parts[2])
		return m, err
	}
	if m.time, err = parseTime(text, now); err != nil {
		err = fmt.Errorf("%w; or checkpoint:N, or EPOCH:RECORD[:TRANSACTION] as pgbridge log prints it, or the id of an item", err)
	}
	return m, err
}

func parsePlace(writer, epoch, seq, tx string) (p archive.Place, err error) {
	if writer != "" {
		if p.Writer, err = action.ParseWriter(writer); err != nil {
			return p, err
		}
	}
	number, err1 := strconv.ParseUint(epoch, 10, 32)
	var err2, err3 error
	p.Epoch = uint32(number)
	p.Seq, err2 = strconv.ParseUint(seq, 10, 63)
	p.Tx, err3 = parseTx(tx)
	err = errors.Join(err1, err2, err3)
	if err == nil && (p.Epoch == 0 || p.Seq == 0) {
		err = errors.New("both begin at 1")
	}
	return p, err
}

// parseTx reads the number of a transaction; empty text is the whole record.
func parseTx(text string) (int, error) {
	if text == "" {
		return archive.WholeRecord, nil
	}
	return strconv.Atoi(text)
}

// timeLayouts are how a time may be given, in UTC where it does not say.
var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05.999999Z07:00", "2006-01-02 15:04:05.999999", "2006-01-02T15:04:05.999999", "2006-01-02",
}

// parseTime reads a time, or how long before now it was. Empty text is the zero
// time.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago).UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%q is no time: want 2006-01-02T15:04:05Z, a date, or how long ago like 90m", text)
}
