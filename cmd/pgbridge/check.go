package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

func newCheck() *cobra.Command {
	var follower bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Look for what would stop pgbridge here, and say how to mend it",
		Long: `Check looks at the server, the role, the tables, the slot and pg_dump, and
prints every finding with its fix. It changes nothing. Init and run refuse on
the fatal ones. Exit code 3 when there is one.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			role := postgres.RoleWriter
			if follower {
				role = postgres.RoleFollower
			}
			return a.check(cmd.Context(), role)
		},
	}
	cmd.Flags().BoolVar(&follower, "follower", false, "check whether this database can follow another (default: whether it can publish)")
	return cmd
}

func (a *app) check(ctx context.Context, role postgres.Role) error {
	conn, err := a.database(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	findings, err := postgres.Check(ctx, conn, postgres.Options{Role: role})
	if err != nil {
		return err
	}
	fatal := 0
	for _, f := range findings {
		if f.Severity == postgres.Fatal {
			fatal++
		}
		if err := a.print(f, "%s\n", f); err != nil {
			return err
		}
	}
	if fatal > 0 {
		return personError{fmt.Errorf("%d of %d findings are fatal: mend them first", fatal, len(findings))}
	}
	if len(findings) == 0 && !a.JSON {
		return a.print(nil, "nothing to mend\n")
	}
	return nil
}

// refuseFatal runs the checks and returns the fatal findings as one error; the
// others are logged.
func (a *app) refuseFatal(ctx context.Context, conn *pgx.Conn, role postgres.Role, tables []action.Name) error {
	findings, err := postgres.Check(ctx, conn, postgres.Options{Role: role, Tables: tables})
	if err != nil {
		return err
	}
	return a.refuse(findings)
}

// refuse returns the fatal findings as one error; the others are logged.
func (a *app) refuse(findings []postgres.Finding) error {
	var fatal []string
	for _, f := range findings {
		switch f.Severity {
		case postgres.Fatal:
			fatal = append(fatal, "  "+f.String())
		case postgres.Warning:
			a.log.Warn(f.Problem, "check", f.ID, "subject", f.Subject, "fix", f.Fix)
		case postgres.Info:
			a.log.Debug(f.Problem, "check", f.ID, "subject", f.Subject, "fix", f.Fix)
		}
	}
	if len(fatal) == 0 {
		return nil
	}
	return personError{errors.New("this has to be mended first (pgbridge check):\n" + strings.Join(fatal, "\n"))}
}
