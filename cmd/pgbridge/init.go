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
	var o initOptions
	cmd := &cobra.Command{
		Use:   "init [--name NAME | --join DB-ID]",
		Short: "Set up a database: to publish, or to follow another; print the db-id",
		Long: `Init --name founds a database: it makes schema pgbridge, a publication and a
slot, and puts the genesis and all rows that exist into the outbox, from where
pgbridge run publishes them. Init --join makes an empty database a follower. Init
alone brings a database that is set up to the version of this program. The roles that
the database uses must be there, or --create-roles makes them; these flags are those of
pgbridge restore.

All of them are for an administrator: a superuser where there is one, else the owner
of what is to be published. Init makes the role as which pgbridge run connects, and
gives it what that needs and nothing else; it logs each statement. --print-grants
prints those of the cluster and of the database, for somebody else to run, and does
nothing else.

As a superuser init --name also makes event triggers: with them changes of the
schema are published too. pgbridge check says when they are not there.

Each may be repeated: what is done is not done again, and what was interrupted
is undone and begun anew.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), a)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.name, "name", "", "found a database of this `name`")
	flags.StringVar(&o.join, "join", "", "follow the database with this `id`")
	flags.StringSliceVar(&o.tables, "table", nil, "publish this `schema.table` only, may be repeated; default: all tables")
	flags.StringVar(&o.scope, "tables", "", "`which` tables: all, also those made later; or listed, those of --table or that are there now (default: all, with --table listed)")
	flags.BoolVar(&o.printGrants, "print-grants", false, "print the SQL that makes the role, with --join that of a follower, and do nothing")
	o.role.flags(flags)
	o.rights.flags(flags)
	return cmd
}

// initOptions are the flags of init.
type initOptions struct {
	name, join, scope string
	tables            []string
	printGrants       bool
	role              roleOptions
	rights            rightsOptions
}

func (o *initOptions) run(ctx context.Context, a *app) error {
	use := postgres.RoleWriter
	if o.join != "" {
		use = postgres.RoleFollower
	}
	switch {
	case o.name != "" && o.join != "":
		return usageError{errors.New("give --name NAME to found a database, or --join DB-ID to follow one")}
	case o.printGrants:
		return a.printGrants(ctx, o.role, use)
	case o.join != "":
		return a.join(ctx, o.join, o.role, o.rights)
	case o.name == "":
		return a.upgrade(ctx, o.role)
	}
	published, err := chooseScope(o.scope, o.tables)
	if err != nil {
		return err
	}
	return a.found(ctx, o.name, o.tables, published, o.role)
}

// upgrade brings a database that is set up to what this program knows.
func (a *app) upgrade(ctx context.Context, o roleOptions) error {
	conn, err := a.database(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := postgres.Upgrade(ctx, conn); err != nil {
		return err
	}
	d, err := loadReady(ctx, conn)
	if errors.Is(err, postgres.ErrNoDatabase) {
		return usageError{errors.New("nothing is set up here: give --name NAME to found a database, or --join DB-ID to follow one")}
	}
	if err != nil {
		return err
	}
	role, err := a.makeRole(ctx, conn, o, d.Role)
	if err != nil {
		return err
	}
	if d.Role == postgres.RoleWriter {
		if _, err := postgres.WatchSchema(ctx, conn); err != nil {
			return err
		}
	}
	if err := a.admitRole(ctx, conn, o, role); err != nil {
		return err
	}
	return a.printDBID(d.ID)
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

func (a *app) found(ctx context.Context, name string, only []string, scope postgres.Scope, o roleOptions) error {
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
	if err := postgres.Upgrade(ctx, conn); err != nil {
		return err
	}
	tables, err := chooseTables(ctx, conn, only)
	if err != nil {
		return err
	}
	if err := a.refuseFatal(ctx, conn, postgres.RoleWriter, names(tables)); err != nil {
		return err
	}
	role, err := a.makeRole(ctx, conn, o, postgres.RoleWriter)
	if err != nil {
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
	if err := a.admitRole(ctx, conn, o, role); err != nil {
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

func (a *app) join(ctx context.Context, id string, o roleOptions, rights rightsOptions) error {
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
	if err := postgres.Upgrade(ctx, conn); err != nil {
		return err
	}
	if err := a.refuseFatal(ctx, conn, postgres.RoleFollower, nil); err != nil {
		return err
	}
	record, genesis, err := applier.FetchGenesis(ctx, reader, db)
	if err != nil {
		return err
	}
	if err := a.prepareJoin(ctx, conn, genesis, o, rights); err != nil {
		return err
	}
	role, err := a.makeRole(ctx, conn, o, postgres.RoleFollower)
	if err != nil {
		return err
	}
	with := applier.Joining{Service: role, Without: rights.without}
	if a.AllowSuperuser {
		with.Service = ""
	}
	if err := applier.Join(ctx, conn, record, genesis, with); err != nil {
		return err
	}
	if err := a.admitRole(ctx, conn, o, role); err != nil {
		return err
	}
	return a.printDBID(db)
}

// prepareJoin refuses, before anything is written, a server that lacks what the
// database needs, and makes the roles.
func (a *app) prepareJoin(ctx context.Context, conn *pgx.Conn, genesis postgres.Genesis, o roleOptions, rights rightsOptions) error {
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
	if source.Service, err = o.choose(ctx, conn); err != nil {
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
