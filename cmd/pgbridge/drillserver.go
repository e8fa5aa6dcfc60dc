package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/internal/server"
	"github.com/pgbridge/pgbridge/postgres"
)

// theatre is a throw-away server with an empty database.
type theatre struct {
	server *server.Server
	url    string
}

// open starts a server, and makes in it what somebody who restores must have
// ready: the database and its roles.
func (d *drill) open(ctx context.Context, source postgres.Source) (*theatre, error) {
	began := time.Now()
	from, err := findServers(ctx, source.Server.Major())
	if err != nil {
		return nil, usageError{err}
	}
	if from, err = d.apart(from); err != nil {
		return nil, usageError{err}
	}
	d.log.Info("starting a server", "for", source.Server.Version, "from", from)
	from.Password = rand.Text() // it holds the data of a real database
	v, err := from.Start(ctx, serverSettings)
	if err != nil {
		return nil, err
	}
	d.log.Info("the server is ready", "postgres", v.Version, "place", v.Place())
	t := &theatre{server: v, url: v.URL("drill")}
	if err := prepare(ctx, v.URL("postgres"), from, source); err != nil {
		return nil, errors.Join(err, v.Destroy(context.WithoutCancel(ctx)))
	}
	d.report.Postgres = v.Version
	d.report.Seconds.Server = time.Since(began).Seconds()
	return t, nil
}

// alsoNeeds adds what the plan needs in the beginning: what was dropped since is
// made and dropped again on the way.
func alsoNeeds(ctx context.Context, plan *restoring, now postgres.Source) (postgres.Source, error) {
	then, err := plan.source(ctx)
	all := func(a, b []string) []string {
		union := slices.Concat(a, b)
		slices.Sort(union)
		return slices.Compact(union)
	}
	now.Extensions = all(now.Extensions, then.Extensions)
	now.Used.Named, now.Used.Become = all(now.Used.Named, then.Used.Named), all(now.Used.Become, then.Used.Become)
	for _, r := range then.Roles {
		if !slices.ContainsFunc(now.Roles, func(n postgres.ServerRole) bool { return n.Name == r.Name }) {
			now.Roles = append(now.Roles, r)
		}
	}
	return now, err
}

func prepare(ctx context.Context, url string, from server.Source, source postgres.Source) error {
	conn, err := postgres.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := makeDatabase(ctx, conn, source.Server); err != nil {
		return err
	}
	findings, err := postgres.CheckSource(ctx, conn, source)
	if err != nil {
		return err
	}
	for _, f := range findings {
		switch {
		case f.ID == "older-server":
			return usageError{fmt.Errorf("%s is too old for a database of PostgreSQL %d: name another one in %s or %s", from, source.Server.Major(), server.EnvImage, server.EnvBinDir)}
		case f.ID == "extension-missing" && from.Image != "":
			return personError{fmt.Errorf("%s has no %s: name one that has it in %s", from, f.Subject, server.EnvImage)}
		}
	}
	_, err = postgres.CreateRoles(ctx, conn, source)
	return err
}

// makeDatabase makes it with the encoding and the locale of the source, or with
// the server's own locale where this machine has not that one.
func makeDatabase(ctx context.Context, conn *pgx.Conn, was postgres.GenesisServer) error {
	const database = `CREATE DATABASE drill TEMPLATE template0 ENCODING %L`
	err := execFormatted(ctx, conn, database+` LC_COLLATE %L LC_CTYPE %L`, was.Encoding, was.Collate, was.CType)
	if err == nil {
		return nil
	}
	if err := execFormatted(ctx, conn, database, was.Encoding); err != nil {
		return fmt.Errorf("make a database: %w", err)
	}
	return nil
}

// execFormatted runs a statement that takes no parameters with values in it.
func execFormatted(ctx context.Context, conn *pgx.Conn, format string, values ...string) error {
	var statement string
	if err := conn.QueryRow(ctx, "SELECT pg_catalog.format($1, VARIADIC $2::text[])", format, values).Scan(&statement); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, statement)
	return err
}

// count says what is there. Reading may run code of users, in the plan of a query, so it
// is done as the service role.
func (d *drill) count(ctx context.Context, connect func(context.Context) (*pgx.Conn, error)) error {
	began := time.Now()
	conn, err := connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tables, err := postgres.Tables(ctx, conn)
	if err != nil {
		return err
	}
	for _, t := range tables {
		var rows int64
		only := "ONLY "
		if t.Partitioned {
			only = ""
		}
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM "+only+t.Name.SQL()).Scan(&rows); err != nil {
			return fmt.Errorf("count %s: %w", t.Name, err)
		}
		d.report.Tables, d.report.Rows = d.report.Tables+1, d.report.Rows+rows
		if _, err := conn.PgConn().Exec(ctx, postgres.Repin(conn.PgConn())).ReadAll(); err != nil {
			return fmt.Errorf("pin the session: %w", err)
		}
	}
	if err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_database_size(current_database())").Scan(&d.report.Bytes); err != nil {
		return fmt.Errorf("size of the database: %w", err)
	}
	d.report.Seconds.Count = time.Since(began).Seconds()
	return nil
}
