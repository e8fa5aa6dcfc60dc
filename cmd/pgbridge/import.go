package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/kwil"
	"github.com/pgbridge/pgbridge/postgres"
)

func newImport() *cobra.Command {
	cmd := &cobra.Command{
		Use: "import", Short: "Bring in what other systems left in an archive", Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newImportKwil())
	return cmd
}

func newImportKwil() *cobra.Command {
	var w wantedKwil
	cmd := &cobra.Command{
		Use:   "kwil --original-dbid ID --signer ADDRESS",
		Short: "Replay the history of a Kwil DB Sync database (2023) as calls of your actions",
		Long: `Import kwil reads every action that the Kwil DB Sync of 2023 published for one
database, and calls the action of the same name that is registered here
(pgbridge.register_action): the parameter $id of insert_message_sync becomes id
of SCHEMA.insert_message_sync. Each call is a transaction of its own, in the
order in which the bundler took the actions, and becomes a part of this
database's own stream.

An action counts only if one of the given addresses has signed it, both its item
and its id. Tags prove nothing: what others have posted is counted and listed.
For the order give the bundler's index, or a node or folder with its items,
before any gateway: a gateway knows the time of a block only. --dry-run shows
what is there, in order, and what is refused; it needs no database, and with one
also shows what was imported before.

What was imported is remembered in pgbridge.imported, in the same transaction.
So the command can be stopped or killed, and run again for what is new. (That
table is not part of the stream: do not import into a database restored from it.)

It stops with exit code 3 at an action that cannot be replayed, or that the
archives list and do not have; --skip ITEM leaves one out. It ends with 3 when
an item was refused that may stand for an action: damaged, unreadable, or one of
two with the same id. With --json each line of --dry-run is an object, and the
last line counts.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			return a.importKwil(cmd.Context(), &w)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&w.dbid, "original-dbid", "", "Kwil `id` of the database of the first provider: x and 56 hexadecimal digits")
	flags.StringSliceVar(&w.signers, "signer", nil, "Ethereum `address` of a provider's admin, may be repeated")
	flags.StringVar(&w.schema, "schema", "public", "`schema` of the functions")
	flags.StringSliceVar(&w.skip, "skip", nil, "leave out this `item`, may be repeated")
	flags.BoolVar(&w.dry, "dry-run", false, "print what would be done")
	return cmd
}

// wantedKwil is what the command line says.
type wantedKwil struct {
	dbid, schema  string
	signers, skip []string
	dry           bool
}

// history checks the command line, and dials nothing.
func (w *wantedKwil) history(a *app) (*kwil.History, error) {
	if w.dbid == "" {
		return nil, usageError{errors.New("which database? give --original-dbid ID, the Kwil id of the first provider's database")}
	}
	if err := kwil.CheckDBID(w.dbid); err != nil {
		return nil, usageError{fmt.Errorf("--original-dbid: %w", err)}
	}
	if len(w.signers) == 0 {
		return nil, usageError{errors.New("whose actions? give --signer 0x…, the address of each provider's admin: anybody can post actions in their name")}
	}
	h := &kwil.History{DBID: w.dbid, Skip: w.skip}
	for _, text := range w.signers {
		address, err := kwil.ParseAddress(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("--signer: %w", err)}
		}
		h.Allow = append(h.Allow, address)
	}
	for _, id := range w.skip {
		if !archive.ValidID(id) {
			return nil, usageError{fmt.Errorf("--skip %.50q: want the id of an item, 43 characters", id)}
		}
	}
	reader, err := a.reader()
	if err != nil {
		return nil, err
	}
	h.Sources, err = kwilSources(reader.Members)
	return h, err
}

// kwilSources are the archives, one by one: the history wants to hear all.
func kwilSources(members []archive.Finder) (all []kwil.Source, err error) {
	for _, m := range members {
		if inner, ok := m.(*archive.Multi); ok {
			sources, err := kwilSources(inner.Members)
			if err != nil {
				return nil, err
			}
			all = append(all, sources...)
			continue
		}
		s, ok := m.(kwil.Source)
		if !ok {
			return nil, usageError{fmt.Errorf("archive %s cannot list items", m.Name())}
		}
		all = append(all, s)
	}
	return all, nil
}

func (a *app) importKwil(ctx context.Context, w *wantedKwil) error {
	h, err := w.history(a)
	if err != nil {
		return err
	}
	in := &importing{app: a, wantedKwil: w, source: "kwil:" + w.dbid}
	if !w.dry || a.DatabaseURL != "" {
		conn, err := a.importInto(ctx)
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		in.conn = conn
	}
	err = in.run(ctx, h)
	if printed := in.printCounts(); err == nil {
		err = printed
	}
	if n := in.counts.Doubtful(); err == nil && n > 0 {
		err = personError{fmt.Errorf("%d of the refused items may stand for actions: see the list, and leave out with --skip what is none", n)}
	}
	return err
}

// importInto connects to a database that writes: a call on one that follows
// would be in nobody's stream.
func (a *app) importInto(ctx context.Context) (*pgx.Conn, error) {
	conn, err := a.database(ctx)
	if err != nil {
		return nil, err
	}
	d, err := loadReady(ctx, conn)
	if err == nil && d.Role != postgres.RoleWriter {
		err = usageError{fmt.Errorf("this database follows %s: import into the one that writes it", d.ID)}
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	return conn, nil
}

// name is that of the registered action.
func (w *wantedKwil) name(k *kwil.Action) string {
	return action.Name{Schema: w.schema, Name: k.Name}.String()
}

// args are the parameters without the $ of Kwil.
func args(k *kwil.Action) map[string]string {
	all := make(map[string]string, len(k.Params))
	for _, p := range k.Params {
		all[strings.TrimPrefix(p.Name, "$")] = p.Value
	}
	return all
}

// reasons are those of a report, in a fixed order, as text.
func reasons(r *kwil.Report) string {
	var all []string
	for reason, count := range r.Reasons {
		all = append(all, fmt.Sprintf("%d %s", count, reason))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
