package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/pgbridge/pgbridge/action"
)

// dbIDFlag is the flag that says of which database a command is.
func dbIDFlag(flags *pflag.FlagSet, id *string) {
	flags.StringVar(id, "db-id", "", "the database's `id`, as pgbridge init printed it")
}

func parseDBID(id string) (action.Digest, error) {
	if id == "" {
		return action.Digest{}, usageError{errors.New("which database? give --db-id ID, as pgbridge init printed it")}
	}
	db, err := action.ParseDigest(id)
	if err != nil {
		return action.Digest{}, usageError{fmt.Errorf("--db-id is not a db-id: %w", err)}
	}
	return db, nil
}

// chosenDB is the database that id names, or else the configured one.
func (a *app) chosenDB(ctx context.Context, id string) (action.Digest, error) {
	if id != "" || a.DatabaseURL == "" {
		return parseDBID(id)
	}
	conn, err := a.database(ctx)
	if err != nil {
		return action.Digest{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	d, err := loadReady(ctx, conn)
	return d.ID, err
}
