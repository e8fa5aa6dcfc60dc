package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newDemo() *cobra.Command {
	var d demo
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Two servers, a load, a disaster, a restore, and the proof",
		Long: `Demo starts two Postgres servers and a node of its own on this machine, publishes
the first, follows with the second, puts pgbench on the first, destroys both
servers, rebuilds the database on a third one from nothing but its db-id, and
compares all three copies row by row. It prints every command before it runs it.

Servers come from a Docker engine if one answers, else from the binaries of this
machine; PGBRIDGE_SERVER (docker, binaries), PGBRIDGE_SERVER_BINDIR and
PGBRIDGE_SERVER_IMAGE choose. Nothing is left of it, but for
what --keep keeps.

Exit code 1 when the copies differ, or when a step fails.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			if d.seconds < 1 || d.scale < 1 {
				return usageError{errors.New("--seconds and --scale count from 1")}
			}
			d.app = a
			return untilStopped(cmd.Context(), d.run(cmd.Context()))
		},
	}
	cmd.Flags().IntVar(&d.seconds, "seconds", 15, "how long the load lasts")
	cmd.Flags().IntVar(&d.scale, "scale", 3, "size of pgbench's tables, in 100000 rows")
	cmd.Flags().StringVar(&d.keep, "keep", "", "work in this new `folder`, and leave archive, keys and logs in it")
	return cmd
}

// demo is one run of the story.
type demo struct {
	app            *app
	seconds, scale int
	keep           string

	stage
	id     string     // the db-id
	source []tableSum // what the first server held when the load was over
	copied []tableSum // and the second
	report demoReport
}

// demoReport is what demo prints.
type demoReport struct {
	DB       string       `json:"db"`
	Postgres string       `json:"postgres"`
	Equal    bool         `json:"equal"`
	Tables   []comparison `json:"tables"`
	Records  uint64       `json:"records"`
	Bytes    int64        `json:"bytes"` // of the archive
	Load     loadReport   `json:"load"`
	Seconds  demoSeconds  `json:"seconds"`
}

// demoSeconds is how long the steps took.
type demoSeconds struct {
	Init    float64 `json:"init"`
	Copy    float64 `json:"copy"` // until the follower had the initial rows, from its run on
	Load    float64 `json:"load"`
	Lag     float64 `json:"lag"` // from the last commit at the source until the follower had it
	Restore float64 `json:"restore"`
}

// run tells the story and cleans up, whatever happens.
func (d *demo) run(ctx context.Context) (err error) {
	if err := d.stage.open(ctx, d.keep); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stage.close(context.WithoutCancel(ctx))) }()
	for _, step := range []func(context.Context) error{d.begin, d.publish, d.follow, d.load, d.remember, d.disaster, d.restore, d.prove} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if !d.report.Equal {
		return errors.New("the copies differ")
	}
	return nil
}

func (d *demo) begin(ctx context.Context) (err error) {
	d.say("two servers and an archive, in %s", d.dir)
	for _, s := range []**site{&d.first, &d.second} {
		if *s, err = d.newSite(ctx); err != nil {
			return err
		}
		d.note("PostgreSQL %s at %s (%s)", (*s).server.Version, (*s).url, (*s).server.Place())
	}
	d.report.Postgres = d.first.server.Version
	if err := d.lendDump(d.first.server); err != nil {
		return err
	}
	if err := d.startNode(ctx); err != nil {
		return err
	}

	d.say("a database: pgbench's tables, and a message board")
	if err := d.pgbench(ctx, nil, "-i", "-q", "-s", fmt.Sprint(d.scale)); err != nil {
		return err
	}
	return d.first.exec(ctx, boardTables+"ALTER TABLE public.pgbench_history REPLICA IDENTITY FULL;")
}

func (d *demo) publish(ctx context.Context) error {
	d.say("publish it: a key, a genesis, and the service")
	if _, err := d.pgbridge(ctx, "keygen", "--out", keyFile); err != nil {
		return err
	}
	began := time.Now()
	id, err := d.pgbridge(ctx, "init", "--name", "demo", "--key", keyFile, "--database-url", d.first.url)
	if err != nil {
		return err
	}
	d.report.Seconds.Init = time.Since(began).Seconds()
	d.id = strings.TrimSpace(id)
	d.report.DB = d.id
	if err := d.service(ctx, "first", "run", "--key", keyFile, "--archive", d.archive, "--database-url", d.first.service); err != nil {
		return err
	}
	return d.await(ctx, "the archive to have the initial rows", func(ctx context.Context) (bool, error) {
		var empty bool
		return empty, d.first.query(ctx, "SELECT NOT EXISTS (SELECT FROM pgbridge.outbox)", &empty)
	})
}

func (d *demo) follow(ctx context.Context) error {
	d.say("follow it on the second server")
	if _, err := d.pgbridge(ctx, "init", "--join", d.id, "--archive", d.archive, "--database-url", d.second.url); err != nil {
		return err
	}
	began := time.Now()
	if err := d.service(ctx, "second", "run", "--archive", d.archive, "--database-url", d.second.service); err != nil {
		return err
	}
	err := d.await(ctx, "the initial rows to arrive", func(ctx context.Context) (bool, error) {
		p, err := d.progress(ctx)
		return p.applied == p.published, err
	})
	d.report.Seconds.Copy = time.Since(began).Seconds()
	return err
}

// disaster leaves nothing but the archive and the db-id.
func (d *demo) disaster(ctx context.Context) error {
	d.say("disaster: both servers are killed, and their data is deleted")
	for _, s := range []*site{d.first, d.second} {
		if err := s.destroy(ctx); err != nil {
			return err
		}
		d.note("gone: %s", s.server.Place())
	}
	if err := d.stop(ctx, d.services[1:]); err != nil { // all but the node
		return err
	}
	d.services = d.services[:1]
	return nil
}

func (d *demo) restore(ctx context.Context) (err error) {
	d.say("restore into a new, empty server, from the db-id alone")
	if d.third, err = d.newSite(ctx); err != nil {
		return err
	}
	d.note("PostgreSQL %s at %s (%s)", d.third.server.Version, d.third.url, d.third.server.Place())
	began := time.Now()
	_, err = d.pgbridge(ctx, "restore", "--db-id", d.id, "--archive", d.archive, "--database-url", d.third.url)
	d.report.Seconds.Restore = time.Since(began).Seconds()
	return err
}

// archiveSize is the size of all files of the archive.
func (d *demo) archiveSize() (size int64) {
	_ = filepath.Walk(filepath.Join(d.dir, "archive"), func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && strings.HasSuffix(info.Name(), ".item") {
			size += info.Size()
		}
		return nil
	})
	return size
}
