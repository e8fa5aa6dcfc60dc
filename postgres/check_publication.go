package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/pgbridge/pgbridge/action"
)

func checkPublication(ctx context.Context, tx pgx.Tx, t target) ([]Finding, error) {
	p, err := LoadPublication(ctx, tx, t.Publication)
	exists := err == nil
	if err != nil && !errors.Is(err, ErrNoPublication) {
		return nil, err
	}
	tables, err := Tables(ctx, tx)
	if err != nil {
		return nil, err
	}
	all := make([]action.Name, len(tables))
	for i, t := range tables {
		all[i] = t.Name
	}
	marked := true
	if exists && t.publishes() {
		if marked, err = PublicationMarked(ctx, tx); err != nil {
			return nil, err
		}
	}
	return assessPublication(t, exists, marked, p, all), nil
}

// rescue is what to do when changes are lost that were never published.
const rescue = "restore from the archive, or found a new database; do not make it again by hand, that would hide what is lost"

func assessPublication(t target, exists, marked bool, p Publication, tables []action.Name) (found []Finding) {
	subject, drop := "publication "+t.Publication, "DROP PUBLICATION "+action.QuoteIdent(t.Publication)
	add := func(id string, s Severity, problem, fix string) {
		found = append(found, Finding{id, s, subject, problem, fix})
	}
	switch {
	case t.stage == StageInit: // the next init makes it anew
	case exists && t.stage == "":
		add("publication-taken", Fatal, "it is there, and not made by pgbridge for this database", "if nobody needs it: "+drop)
	case !exists && t.publishes():
		add("publication-missing", Fatal, "it is gone: what was changed before it is made again cannot be read", rescue)
	case exists:
		if missing := without(tables, p.Tables); len(missing) > 0 {
			add("not-published", Info, "it leaves out "+summary(nameTexts(missing), 5), "")
		}
		if !marked {
			problem := strings.Join(append([]string{"it was changed after pgbridge init: what was written then may be missing in the archive"}, p.Faults...), "; ")
			add("publication-changed", Fatal, problem, rescue)
		}
	}
	return found
}

func nameTexts(all []action.Name) []string {
	out := make([]string, len(all))
	for i, n := range all {
		out[i] = n.String()
	}
	return out
}

// slotFacts are a row of pg_replication_slots; what an older server does not
// have is zero.
type slotFacts struct {
	Plugin       string `json:"plugin"`
	Type         string `json:"slot_type"`
	Database     string `json:"database"`
	Temporary    bool   `json:"temporary"`
	TwoPhase     bool   `json:"two_phase"`
	Synced       bool   `json:"synced"`
	WALStatus    string `json:"wal_status"`
	Conflicting  bool   `json:"conflicting"`
	Invalidation string `json:"invalidation_reason"`
	Active       bool   `json:"active"`
	held         string // WAL that the server keeps for it
}

func checkSlot(ctx context.Context, tx pgx.Tx, t target) ([]Finding, error) {
	const query = `SELECT to_jsonb(s), coalesce(pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)), '')
		FROM pg_catalog.pg_replication_slots s WHERE slot_name = $1`
	var (
		row []byte
		f   slotFacts
	)
	err := tx.QueryRow(ctx, query, t.Slot).Scan(&row, &f.held)
	if errors.Is(err, pgx.ErrNoRows) {
		return assessSlot(t, nil), nil
	}
	if err == nil {
		err = json.Unmarshal(row, &f)
	}
	if err != nil {
		return nil, fmt.Errorf("read slot %s: %w", t.Slot, err)
	}
	return assessSlot(t, &f), nil
}

func assessSlot(t target, f *slotFacts) (found []Finding) {
	add := func(id string, s Severity, problem, fix string) {
		found = append(found, Finding{id, s, "slot " + t.Slot, problem, fix})
	}
	drop := "SELECT pg_drop_replication_slot('" + strings.ReplaceAll(t.Slot, "'", "''") + "')"
	switch {
	case f == nil && !t.publishes():
		return nil
	case f == nil:
		add("slot-missing", Fatal, "it is gone: changes that it had not given out cannot be read any more", rescue)
		return found
	case f.Database != t.name:
		where := "database " + f.Database
		if f.Database == "" {
			where = "a standby"
		}
		add("slot-taken", Fatal, "a slot of this name serves "+where+" of this server", "choose another name for the slot")
		return found
	case t.stage == StageInit: // the next init makes it anew
		return nil
	case t.stage == "":
		add("slot-taken", Fatal, "it is there, and not made by pgbridge for this database", "if nobody needs it: "+drop)
		return found
	}
	if f.Type != "logical" || f.Plugin != "pgoutput" || f.Temporary || f.TwoPhase {
		add("slot-shape", Fatal, fmt.Sprintf("it is %s with plugin %q, temporary %v, two-phase %v: pgbridge init made another", f.Type, f.Plugin, f.Temporary, f.TwoPhase), rescue)
	}
	if f.Synced {
		add("slot-synced", Fatal, "it is the copy of a slot on the primary", "connect to the primary, or promote this server")
	}
	switch {
	case f.WALStatus == "lost" || f.Conflicting || f.Invalidation != "":
		reason := ""
		if f.Invalidation != "" {
			reason = " (" + f.Invalidation + ")"
		}
		add("slot-lost", Fatal, "the server has given it up"+reason+": changes that it had not given out cannot be read any more", rescue)
	case f.WALStatus == "unreserved":
		add("slot-unreserved", Warning, "the server is about to give it up, it keeps "+f.held+" of WAL", "run pgbridge now, and raise max_slot_wal_keep_size")
	case !f.Active:
		add("slot-inactive", Info, "nobody reads it, the server keeps "+f.held+" of WAL", "pgbridge run")
	}
	return found
}
