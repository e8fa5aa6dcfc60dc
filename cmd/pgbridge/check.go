package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/sql"
)

func newCheck() *cobra.Command {
	return &cobra.Command{Use: "check", Args: noArgs, RunE: func(*cobra.Command, []string) error { return nil }}
}

func (a *app) refuseFatal(_ context.Context, _ sql.Querier, _ sql.Role) error { return nil }
