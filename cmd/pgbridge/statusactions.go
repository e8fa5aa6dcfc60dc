package main

import (
	"context"

	"github.com/pgbridge/pgbridge/postgres"
)

// actionStatus is how the named actions are.
type actionStatus struct {
	Count int `json:"count"`
	// Errors and Warnings are the problems with them: an error keeps an action
	// from being called or replayed, a warning may make its replay differ.
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`

	first postgres.Finding // of the errors
}

// readActions returns nil where no action is defined.
func readActions(ctx context.Context, q postgres.Querier) (*actionStatus, error) {
	actions, err := postgres.LoadActions(ctx, q)
	if err != nil || len(actions) == 0 {
		return nil, err
	}
	problems, err := postgres.ActionProblems(ctx, q)
	if err != nil {
		return nil, err
	}
	s := &actionStatus{Count: len(actions)}
	for _, p := range problems {
		if p.Severity != postgres.Fatal {
			s.Warnings++
			continue
		}
		if s.Errors == 0 {
			s.first = p
		}
		s.Errors++
	}
	return s, nil
}

// judge finds what is wrong.
func (s *actionStatus) judge(all *status) {
	if s != nil && s.Errors > 0 {
		all.passing("action %s cannot be used: %s (pgbridge action show %s)", s.first.Subject, s.first.Problem, s.first.Subject)
	}
}

func (s *actionStatus) text(line liner) {
	if s == nil {
		return
	}
	if s.Errors+s.Warnings == 0 {
		line("actions", "%d", s.Count)
		return
	}
	line("actions", "%d, %s, %s (pgbridge action list)", s.Count, many(s.Errors, "error"), many(s.Warnings, "warning"))
}

// judgeQuarantine tells what waits for a person from what waits for run.
func (s *status) judgeQuarantine() {
	var open []quarantine
	for _, q := range s.Quarantine {
		if q.State == stateOpen {
			open = append(open, q)
		}
	}
	switch {
	case len(open) > 0:
		q := open[0]
		s.decide("%d in quarantine, the first from record %d:%d: %s", len(open), q.Epoch, q.Seq, q.Error)
	case len(s.Quarantine) > 0:
		q := s.Quarantine[0]
		s.passing("what was decided on record %d:%d (%s) is not done yet: start pgbridge run", q.Epoch, q.Seq, q.State)
	}
}

func (q *quarantine) text(line liner, s *status) {
	line("quarantine", "record %d:%d transaction %d, %s: %s (pgbridge quarantine show %d)", q.Epoch, q.Seq, q.Tx, ago(s.now, q.At), oneLine(q.Error), q.ID)
	if q.State != stateOpen {
		line("  decided", "%s: %s", q.State, oneLine(q.Reason))
	}
	if q.Detail == nil {
		return
	}
	for i, text := range differs(q.Detail) {
		line([]string{"  row", ""}[min(i, 1)], "%s", text)
	}
}
