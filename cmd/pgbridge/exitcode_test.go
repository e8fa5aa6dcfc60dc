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
	tests := []struct {
		name string
		err  error
		want int
	}{
		{"done", nil, exitDone},
		{"interrupted", context.Canceled, exitAgain},
		{"anything else", errors.New("connection refused"), exitAgain},
		{"usage", fmt.Errorf("x: %w", usageError{errors.New("no")}), exitUsage},
		{"slot lost", fmt.Errorf("start: %w", slot.ErrLost), exitPerson},
		{"rewound", &publisher.RewoundError{}, exitPerson},
		{"fork", fmt.Errorf("x: %w", &applier.ForkError{}), exitPerson},
		{"stuck", errors.Join(&applier.Stuck{Err: errors.New("x")}, nil), exitPerson},
		{"hole", &applier.Hole{}, exitPerson},
		{"unknown record", fmt.Errorf("%w: x", applier.ErrUnknown), exitPerson},
		{"other key", fmt.Errorf("%w: x", publisher.ErrKey), exitPerson},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := exitCode(tt.err); got != tt.want {
				t.Errorf("exit code of %v = %d, want %d", tt.err, got, tt.want)
			}
		})
	}
}

// What a command that works until it is stopped was to do is done then; what broke
// meanwhile is told all the same.
func TestUntilStopped(t *testing.T) {
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		err  error
		want int
	}{
		{"stopped", stopped, fmt.Errorf("read: %w", context.Canceled), exitDone},
		{"broken while it was stopped", stopped, slot.ErrLost, exitPerson},
		{"not stopped", t.Context(), context.Canceled, exitAgain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := exitCode(untilStopped(tt.ctx, tt.err)); got != tt.want {
				t.Errorf("exit code of %v = %d, want %d", tt.err, got, tt.want)
			}
		})
	}
}
