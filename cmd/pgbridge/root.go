package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "pgbridge",
		Short: "A Postgres database as a signed, permanent stream of actions, and back",
		Long: `pgbridge publishes the changes of a Postgres database as signed records to an
archive, keeps other servers in sync from there, and rebuilds the database from
nothing but its id when all of them are gone.

What is published is public and permanent.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	configFlags(root.PersistentFlags())
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newKeygen(), newCheck(), newInit(), newRun(), newRestore(), newDrill(), newCheckpoint(), newArchive(), newStatus(), newVerify(), newLog(), newHistory(), newDiff(), newAction(), newQuarantine(), newImport(), newDemo())
	return root
}

// noCommand refuses what is not a subcommand.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s has no command %q: see %[1]s --help", cmd.CommandPath(), args[0])}
	}
	return nil
}

// noArgs refuses arguments as what they are: a mistake in the command line.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args[0])}
	}
	return nil
}

// app is what a command works with.
type app struct {
	config
	log *slog.Logger
	out io.Writer
}

func newApp(cmd *cobra.Command) (*app, error) {
	c, err := loadConfig(cmd.Flags())
	if err != nil {
		return nil, err
	}
	log, err := c.logger()
	if err != nil {
		return nil, err
	}
	return &app{config: c, log: log, out: cmd.OutOrStdout()}, nil
}

func (a *app) connect(ctx context.Context) (*pgx.Conn, error) {
	return postgres.Connect(ctx, a.DatabaseURL)
}

// database connects, for commands that need one.
func (a *app) database(ctx context.Context) (*pgx.Conn, error) {
	if err := a.needDatabase(); err != nil {
		return nil, err
	}
	return a.connect(ctx)
}

func (a *app) key() (archive.Key, error) {
	if err := a.needKey(); err != nil {
		return archive.Key{}, err
	}
	key, err := archive.LoadKey(a.Key)
	if err != nil {
		return archive.Key{}, usageError{err}
	}
	return key, nil
}

// wallet is what signs items: nil means the writer key.
func (a *app) wallet() (archive.Wallet, error) {
	if a.Wallet == "" {
		return nil, nil
	}
	w, err := archive.LoadWallet(a.Wallet)
	if err != nil {
		return nil, usageError{err}
	}
	return w, nil
}

// archives opens what is configured: where to write, and one reader of all.
func (a *app) archives() (putters []archive.Putter, reader *archive.Multi, err error) {
	if err := a.needArchive(); err != nil {
		return nil, nil, err
	}
	reader = &archive.Multi{Log: a.log}
	client := &archive.Client{Log: a.log}
	for _, url := range a.Archives {
		opened, err := archive.OpenURL(url, client)
		if err != nil {
			return nil, nil, usageError{err}
		}
		if opened.Putter != nil {
			putters = append(putters, opened.Putter)
		}
		if opened.Finder != nil {
			reader.Members = append(reader.Members, opened.Finder)
		}
	}
	return putters, reader, nil
}

// reader is archives for commands that only read.
func (a *app) reader() (*archive.Multi, error) {
	_, reader, err := a.archives()
	if err == nil && len(reader.Members) == 0 {
		err = usageError{errors.New("none of the archives can be read: give a node, a folder or a gateway with --archive")}
	}
	return reader, err
}

// print writes a result: v as a JSON line with --json, else the text.
func (a *app) print(v any, format string, args ...any) error {
	if a.JSON {
		return json.NewEncoder(a.out).Encode(v)
	}
	_, err := fmt.Fprintf(a.out, format, args...)
	return err
}
