package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
	"github.com/pgbridge/pgbridge/publisher"
)

func newRun() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "The service: publish what this database writes, or follow",
		Long: `Run publishes (after init) or follows (after init --join) until it is stopped.

It makes nothing: no slot, no table, no key. Whatever breaks ends it, and
starting it again is the recovery. Exit code 1: start it again. 2: the
configuration is wrong. 3: a person must decide.

It connects as the service role that init made, never as a superuser, unless
--allow-superuser is given.

With --checkpoint-every, --checkpoint-records or --checkpoint-bytes it makes
checkpoints beside its work, as pgbridge checkpoint create does: when one of them
says so, and something has changed. One that fails is a warning, and in the status.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			return untilStopped(cmd.Context(), a.run(cmd.Context()))
		},
	}
	checkpointFlags(cmd.Flags())
	return cmd
}

func (a *app) run(ctx context.Context) error {
	conn, err := a.database(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := a.refuseSuperuser(ctx, conn); err != nil {
		return err
	}
	if err := postgres.Upgrade(ctx, conn); err != nil {
		return err
	}
	d, err := loadReady(ctx, conn)
	if err != nil {
		return err
	}
	if err := postgres.LockRun.Share(ctx, conn); err != nil {
		return err
	}
	record, err := archive.Open(d.Genesis)
	if err != nil {
		return fmt.Errorf("genesis in the database: %w", err)
	}
	genesis, err := applier.OpenGenesis(&record)
	if err != nil {
		return err
	}
	if err := a.refuseFatal(ctx, conn, d.Role, nil); err != nil {
		return err
	}
	if d.Role == postgres.RoleFollower {
		return a.follow(ctx, d, genesis)
	}
	return a.publish(ctx, d, genesis)
}

// loadDatabase reads what this database is; one that is not set up is for a
// person.
func loadDatabase(ctx context.Context, q postgres.Querier) (postgres.Database, error) {
	installed, err := postgres.Installed(ctx, q)
	if err != nil {
		return postgres.Database{}, err
	}
	if !installed {
		return postgres.Database{}, personError{postgres.ErrNoDatabase}
	}
	d, err := postgres.LoadDatabase(ctx, q)
	if errors.Is(err, postgres.ErrNoDatabase) {
		err = personError{err}
	}
	return d, err
}

// loadReady is loadDatabase for one whose init has finished.
func loadReady(ctx context.Context, q postgres.Querier) (postgres.Database, error) {
	d, err := loadDatabase(ctx, q)
	switch {
	case err != nil:
	case d.Stage == postgres.StageInit:
		err = personError{errors.New("pgbridge init did not finish: run it again")}
	case d.Stage == postgres.StageRestore:
		err = personError{errors.New("pgbridge restore did not finish: run it again, as it was")}
	}
	return d, err
}

func (a *app) publish(ctx context.Context, d postgres.Database, genesis postgres.Genesis) error {
	key, err := a.key()
	if err != nil {
		return err
	}
	wallet, err := a.wallet()
	if err != nil {
		return err
	}
	putters, reader, err := a.archives()
	if err != nil {
		return err
	}
	if len(putters) == 0 {
		return usageError{errors.New("none of the archives can be written: give a node, a folder or a bundler with --archive")}
	}
	replication, err := postgres.ReplicationConfig(a.DatabaseURL)
	if err != nil {
		return err
	}
	p := &publisher.Publisher{
		Connect: a.connect, Replication: replication, Slot: d.Slot, Publication: d.Publication,
		Key: key, Wallet: wallet, DB: d.ID, Schema: genesis.SchemaDigest(), Archives: putters, Reader: reader,
		Ready: notifyReady, Log: a.log,
	}
	schedule, err := newSchedule(a, d)
	if err != nil {
		return err
	}
	a.log.Info("publishing", "db", d.ID, "writer", key.Writer())
	return beside(ctx, schedule, p.Run)
}

// beside runs a schedule, if there is one, for as long as publish runs.
func beside(ctx context.Context, s *schedule, publish func(context.Context) error) error {
	if s == nil {
		return publish(ctx)
	}
	other, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run(other)
	}()
	defer func() {
		cancel()
		<-done
	}()
	return publish(ctx)
}

func (a *app) follow(ctx context.Context, d postgres.Database, genesis postgres.Genesis) error {
	reader, err := a.reader()
	if err != nil {
		return err
	}
	f := &applier.Applier{Connect: a.connect, Archive: reader, DB: d.ID, Genesis: genesis, Ready: notifyReady, Log: a.log}
	a.log.Info("following", "db", d.ID)
	return f.Run(ctx)
}
