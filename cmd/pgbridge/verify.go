package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/audit"
)

func newVerify() *cobra.Command {
	var id string
	var repair, database bool
	var most int
	cmd := &cobra.Command{
		Use:   "verify --db-id ID [--repair] | --database",
		Short: "Read every record in the archives and prove it, or name what is amiss",
		Long:  verifyHelp,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			if database || cmd.Flags().Changed("database-url") {
				if repair {
					return usageError{errors.New("--repair is for archives: leave --database and --database-url out")}
				}
				return a.compareDatabase(cmd.Context(), id, most)
			}
			db, err := parseDBID(id)
			if err != nil {
				return err
			}
			v := &audit.Verify{DB: db, Log: a.log}
			if repair {
				if v.Repair, err = a.repair(); err != nil {
					return err
				}
			}
			return a.verify(cmd.Context(), v)
		},
	}
	dbIDFlag(cmd.Flags(), &id)
	cmd.Flags().BoolVar(&repair, "repair", false, "copy what one archive lacks, or has damaged, from another")
	cmd.Flags().BoolVar(&database, "database", false, "compare the configured database with the log")
	cmd.Flags().IntVar(&most, "most", 100, "list this `number` of differences; all are counted")
	return cmd
}

const verifyHelp = `Verify reads everything that the archives hold of a database, each archive by
itself and all together: form, signature and hash of every record, its place in the
chain, every line of its body, the schema it is written against, and every
checkpoint that the chain names, with all its chunks and the sums of their rows. It
needs no database and no key.

    complete up to record 5120 of epoch 1 (2026-11-20T10:00:00Z, 0/16B3748), 3 checkpoints, 120 chunks

or a line for each thing that is amiss, with the archives that still have it whole:

    missing     a record that later ones, or the chain, prove to exist
    damaged     what is served is not the record that it is listed as: cut short,
                changed, or another one
    forked      two records that the writer signed for one number
    unlinked    a record that does not follow the one before it
    unreadable  a signed record whose body is not what it must be
    unconfirmed a checkpoint that the chain does not name (yet)
    wrong       a checkpoint that does not hold what it says

Items of strangers that carry the tags of the database are counted, and no fault.
An archive that is behind lacks the last records until run has sent them.

--repair copies what one archive lacks, or has damaged, from another, items byte for
byte, into folders and pgbridge's own nodes. A damaged file of a folder is moved to
the folder "damaged" in it. Where an archive gives only the record, and not the item
around it, a new one is signed if --key or --wallet is given.

--database compares the configured database, a follower, a restored copy or the
writer itself, with the state that the log says it must have at its own position, and
names each row and column that differ; so does --database-url on the command line. It
begins with the newest checkpoint before that position. Tables that nothing happened
to since are compared by sums; the rows of the others go through files in the temporary
folder (TMPDIR), about twice their size. After a change of a table's columns only
keys, and what was written later, can be compared there; after other changes of tables
it needs a later checkpoint. A sequence may be ahead of the log, not behind. What a person
decided to skip (pgbridge quarantine) is a difference. --json
prints one object: last (the last transaction that counts), checkpoint, tables, rows,
found, differences (kind, table, key, times, columns: old is what must be, new what is).

Exit codes: 0 all is there and right. 1 an archive could not be read. 3 something is
amiss. --json prints one object.`

// audited are the archives, those that can be repaired with a way to write.
func (a *app) audited() ([]audit.Archive, error) {
	if err := a.needArchive(); err != nil {
		return nil, err
	}
	var all []audit.Archive
	client := &archive.Client{Log: a.log}
	for _, url := range a.Archives {
		opened, err := archive.OpenURL(url, client)
		if err != nil {
			return nil, usageError{err}
		}
		if opened.Finder == nil {
			continue
		}
		to := audit.Archive{Finder: opened.Finder}
		switch opened.Putter.(type) {
		case *archive.Folder, *archive.Node:
			to.Putter = opened.Putter
		}
		all = append(all, to)
	}
	if len(all) == 0 {
		return nil, usageError{errors.New("none of the archives can be read: give a node, a folder or a gateway with --archive")}
	}
	return all, nil
}

// sayEvery is how often the log says how far it is.
const sayEvery = 10 * time.Second

func (a *app) verify(ctx context.Context, v *audit.Verify) (err error) {
	if v.Archives, err = a.audited(); err != nil {
		return err
	}
	said := time.Now()
	v.Progress = func(r audit.Report) {
		if time.Since(said) > sayEvery {
			a.log.Info("verifying", "record", r.Head, "read", byteText(r.Bytes), "faults", r.Faulty())
			said = time.Now()
		}
	}
	report, err := v.Run(ctx)
	if err != nil {
		return err
	}
	if err := a.print(report, "%s", verified(report)); err != nil {
		return err
	}
	hint := "pgbridge verify --repair copies what another archive has"
	if v.Repair != nil {
		hint = "what no archive has cannot be repaired: give one that has it with --archive"
	}
	return verdict(report, hint)
}

// repair says how to make items anew: signed by the wallet, or the key, if there
// is one.
func (a *app) repair() (*audit.Repair, error) {
	wallet, err := a.wallet()
	if err != nil {
		return nil, err
	}
	if wallet == nil && a.Key != "" {
		key, err := a.key()
		if err != nil {
			return nil, err
		}
		wallet = archive.KeyWallet(key)
	}
	return &audit.Repair{Wallet: wallet}, nil
}

// verdict is an error for the exit code.
func verdict(r *audit.Report, hint string) error {
	if n := r.Faulty(); n > 0 {
		return personError{fmt.Errorf("%d faults: %s", n, hint)}
	}
	for _, h := range r.Archives {
		if h.Error != "" {
			return fmt.Errorf("an archive could not be read: %s", h.Error)
		}
	}
	return nil
}

// verified is the report for people.
func verified(r *audit.Report) string {
	var b strings.Builder
	for i := range r.Faults {
		fmt.Fprintln(&b, faultLine(&r.Faults[i]))
	}
	if more := r.Faulty() - len(r.Faults); more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	for _, h := range r.Archives {
		switch {
		case h.Error != "":
			fmt.Fprintf(&b, "%s could not be read: %s\n", h.Archive, h.Error)
		case h.Complete == 0:
			fmt.Fprintf(&b, "%s has %d records, and not the genesis\n", h.Archive, h.Records)
		default:
			fmt.Fprintf(&b, "%s has %d records and %d chunks (%s), complete up to record %d\n", h.Archive, h.Records, h.Chunks, byteText(h.Bytes), h.Complete)
		}
	}
	if r.Strangers > 0 {
		fmt.Fprintf(&b, "%d items of strangers passed over\n", r.Strangers)
	}
	if r.Repaired > 0 {
		fmt.Fprintf(&b, "repaired %d items\n", r.Repaired)
	}
	if c := r.Complete; c != nil {
		fmt.Fprintf(&b, "complete up to record %d of epoch %d (%s, %s), %d checkpoints, %d chunks\n", c.Seq, c.Epoch, placeTime(c), c.LSN, r.Checkpoints, r.Chunks)
		if c.Torn {
			b.WriteString("it ends inside of a transaction, which a restore leaves out\n")
		}
	}
	return b.String()
}

func placeTime(p *audit.Place) string {
	if p.At.IsZero() {
		return "the genesis"
	}
	return p.At.Format(time.RFC3339)
}

func faultLine(f *audit.Fault) string {
	var b strings.Builder
	name := string(f.Type)
	if f.Type == archive.TypeActions {
		name = "record"
	}
	fmt.Fprintf(&b, "%s: %s %d", f.Kind, name, f.First)
	if f.Last > f.First {
		fmt.Fprintf(&b, " to %d", f.Last)
	}
	switch {
	case f.Archive != "":
		fmt.Fprintf(&b, " in %s", f.Archive)
	case len(f.Has) == 0 && f.Kind == audit.Missing:
		b.WriteString(" in every archive")
	}
	if len(f.Has) > 0 {
		fmt.Fprintf(&b, ", whole in %s", strings.Join(f.Has, " and "))
	}
	if f.Detail != "" {
		fmt.Fprintf(&b, " (%s)", f.Detail)
	}
	return b.String()
}
