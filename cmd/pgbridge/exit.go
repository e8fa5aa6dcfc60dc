package main

import (
	"context"
	"errors"

	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/ddl"
	"github.com/pgbridge/pgbridge/postgres"
	"github.com/pgbridge/pgbridge/publisher"
	"github.com/pgbridge/pgbridge/slot"
)

// The exit codes. The systemd unit does not restart after 2 and 3.
const (
	exitDone   = 0
	exitAgain  = 1 // try again: something was not there
	exitUsage  = 2 // the command line or the configuration is wrong
	exitPerson = 3 // a person must decide
)

// usageError marks what only another command line or configuration can mend.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// personError marks what a person must decide.
type personError struct{ error }

func (e personError) Unwrap() error { return e.error }

// interrupted tells whether a command ended with err because it was told to.
func interrupted(ctx context.Context, err error) bool {
	return ctx.Err() != nil && errors.Is(err, context.Canceled)
}

// untilStopped is the end of a command that works until it is told to end: then
// that is no error. Of any other, what it was to do is not done.
func untilStopped(ctx context.Context, err error) error {
	if interrupted(ctx, err) {
		return nil
	}
	return err
}

func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		return exitUsage
	case needsPerson(err):
		return exitPerson
	}
	return exitAgain
}

func needsPerson(err error) bool {
	var person personError
	var fork *applier.ForkError
	var stuck *applier.Stuck
	var hole *applier.Hole
	if errors.As(err, &person) || errors.As(err, &fork) || errors.As(err, &stuck) || errors.As(err, &hole) {
		return true
	}
	for _, target := range []error{
		applier.ErrUnknown, applier.ErrTooEarly, applier.ErrSchema, applier.ErrRole, ddl.ErrStatement,
		postgres.ErrNoChain, postgres.ErrNewer, postgres.ErrOlder, postgres.ErrRights, checkpoint.ErrMoved, checkpoint.ErrKey,
		publisher.ErrKey, publisher.ErrMoved, publisher.ErrPublication, publisher.ErrText, slot.ErrLost,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
