package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/postgres"
	"github.com/pgbridge/pgbridge/publisher"
)

func newInit() *cobra.Command {
	var name, join, scope string
	var tables []string
	var rights rightsOptions
	cmd := &cobra.Command{
		Use:   "init --name NAME | --join DB-ID",
		Short: "Set up a database: to publish, or to follow another; print the db-id",
		Long: `Init --name founds a database: it makes schema pgbridge, a publication and a
slot, and puts the genesis and all rows that exist into the outbox, from where
pgbridge run publishes them. Init --join makes an empty database a follower. The
roles that the database uses must be there, or --create-roles makes them; these flags
are those of pgbridge restore.

As a superuser init --name also makes event triggers: with them changes of the
schema are published too. pgbridge check says when they are not there.

Both may be repeated: what is done is not done again, and what was interrupted
is undone and begun anew.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			switch {
			case (name == "") == (join == ""):
				return usageError{errors.New("give --name NAME to found a database, or --join DB-ID to follow one")}
			case join != "":
				return a.join(cmd.Context(), join, rights)
			}
			published, err := chooseScope(scope, tables)
			if err != nil {
				return err
			}
			return a.found(cmd.Context(), name, tables, published)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "found a database of this `name`")
	cmd.Flags().StringVar(&join, "join", "", "follow the database with this `id`")
	cmd.Flags().StringSliceVar(&tables, "table", nil, "publish this `schema.table` only, may be repeated; default: all tables")
	cmd.Flags().StringVar(&scope, "tables", "", "`which` tables: all, also those made later; or listed, those of --table or that are there now (default: all, with --table listed)")
	rights.flags(cmd.Flags())
	return cmd
}

// chooseScope reads --tables.
func chooseScope(scope string, only []string) (postgres.Scope, error) {
	switch {
	case scope == "" && len(only) > 0, scope == string(postgres.ScopeListed):
		return postgres.ScopeListed, nil
	case scope == string(postgres.ScopeAll) && len(only) > 0:
		return "", usageError{errors.New("--tables all: leave out --table, or give --tables listed")}
	case scope == "", scope == string(postgres.ScopeAll):
		return postgres.ScopeAll, nil
	}
	return "", usageError{fmt.Errorf("--tables %s: it is all or listed", scope)}
}

func (a *app) found(ctx context.Context, name string, only []string, scope postgres.Scope) error {
	conn, err := a.database(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	key, err := a.key()
	if err != nil {
		return err
	}
	wallet, err := a.wallet()
	if err != nil {
		return err
	}
	tables, err := chooseTables(ctx, conn, only)
	if err != nil {
		return err
	}
	if err := a.refuseFatal(ctx, conn, postgres.RoleWriter, names(tables)); err != nil {
		return err
	}
	dump, replication, err := a.source(ctx, conn)
	if err != nil {
		return err
	}
	in := &publisher.Init{
		Connect: a.connect, Replication: replication, URL: a.DatabaseURL, Dump: dump, Name: name, Tables: tables, Scope: scope,
		Key: key, Wallet: wallet, Log: a.log,
	}
	db, err := in.Run(ctx)
	if err != nil {
		return err
	}
	return a.printDBID(db)
}

func names(tables []postgres.Table) []action.Name {
	var all []action.Name
	for _, t := range tables {
		all = append(all, t.Name)
	}
	return all
}

func (a *app) printDBID(db action.Digest) error {
	return a.print(map[string]action.Digest{"db": db}, "%s\n", db)
}

// chooseTables lists what to publish: all tables, or those named.
func chooseTables(ctx context.Context, conn postgres.Querier, only []string) ([]postgres.Table, error) {
	all, err := postgres.Tables(ctx, conn)
	if err != nil || len(only) == 0 {
		return all, err
	}
	byName := map[action.Name]postgres.Table{}
	for _, t := range all {
		byName[t.Name] = t
	}
	var chosen []postgres.Table
	for _, text := range only {
		name, err := action.ParseName(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("--table: %w", err)}
		}
		t, ok := byName[name]
		if !ok {
			return nil, usageError{fmt.Errorf("--table %s: no such table that can be published", text)}
		}
		chosen = append(chosen, t)
	}
	return chosen, nil
}

func (a *app) join(ctx context.Context, id string, rights rightsOptions) error {
	db, err := parseDBID(id)
	if err != nil {
		return err
	}
	conn, err := a.database(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	reader, err := a.reader()
	if err != nil {
		return err
	}
	if err := a.refuseFatal(ctx, conn, postgres.RoleFollower, nil); err != nil {
		return err
	}
	record, genesis, err := applier.FetchGenesis(ctx, reader, db)
	if err != nil {
		return err
	}
	if err := a.prepareJoin(ctx, conn, genesis, rights); err != nil {
		return err
	}
	if err := applier.Join(ctx, conn, record, genesis, rights.without); err != nil {
		return err
	}
	return a.printDBID(db)
}

// prepareJoin refuses, before anything is written, a server that lacks what the
// database needs, and makes the roles.
func (a *app) prepareJoin(ctx context.Context, conn *pgx.Conn, genesis postgres.Genesis, rights rightsOptions) error {
	installed, err := postgres.Installed(ctx, conn)
	if err != nil {
		return err
	}
	if installed {
		d, err := postgres.LoadDatabase(ctx, conn)
		if err == nil {
			return rights.same(d) // joined already
		}
		if !errors.Is(err, postgres.ErrNoDatabase) {
			return err
		}
	}
	source, err := rights.source(ctx, conn, genesis.Server, genesis.Roles, genesis.PreData, genesis.PostData)
	if err != nil {
		return err
	}
	findings, err := postgres.CheckSource(ctx, conn, source)
	if err != nil {
		return err
	}
	if err := a.refuse(findings); err != nil {
		return err
	}
	return rights.make(ctx, a, conn, source)
}
