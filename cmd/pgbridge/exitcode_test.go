package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"testing"

	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/publisher"
	"github.com/pgbridge/pgbridge/slot"
)

// codeOf is the exit code of a program that ended with err.
func codeOf(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return strconv.Itoa(exit.ExitCode())
	}
	return err.Error()
}

func TestExitCode(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		err  error
		want int
	}{
		{"done", t.Context(), nil, exitDone},
		{"stopped", cancelled, context.Canceled, exitDone},
		{"broken while it was stopped", cancelled, slot.ErrLost, exitPerson},
		{"anything else", t.Context(), errors.New("connection refused"), exitAgain},
		{"usage", t.Context(), fmt.Errorf("x: %w", usageError{errors.New("no")}), exitUsage},
		{"slot lost", t.Context(), fmt.Errorf("start: %w", slot.ErrLost), exitPerson},
		{"rewound", t.Context(), &publisher.RewoundError{}, exitPerson},
		{"fork", t.Context(), fmt.Errorf("x: %w", &applier.ForkError{}), exitPerson},
		{"stuck", t.Context(), errors.Join(&applier.Stuck{Err: errors.New("x")}, nil), exitPerson},
		{"hole", t.Context(), &applier.Hole{}, exitPerson},
		{"unknown record", t.Context(), fmt.Errorf("%w: x", applier.ErrUnknown), exitPerson},
		{"other key", t.Context(), fmt.Errorf("%w: x", publisher.ErrKey), exitPerson},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := exitCode(tt.ctx, tt.err); got != tt.want {
				t.Errorf("exit code of %v = %d, want %d", tt.err, got, tt.want)
			}
		})
	}
}
