package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/internal/server"
	"github.com/pgbridge/pgbridge/sql"
)

// theatre is a throw-away server with an empty database.
type theatre struct {
	server *server.Server
	url    string
}

// open starts a server, and makes in it what somebody who restores must have
// ready: the database and the roles that policies name.
func (d *drill) open(ctx context.Context, plan *restoring) (*theatre, error) {
	began := time.Now()
	was := plan.genesis.Server
	if plan.base != nil {
		was = plan.base.Server
	}
	from, err := findServers(ctx, was.Major())
	if err != nil {
		return nil, usageError{err}
	}
	d.log.Info("starting a server", "postgres", was.Major(), "from", from)
	from.Password = rand.Text() // it holds the data of a real database
	v, err := from.Start(ctx, serverSettings)
	if err != nil {
		return nil, err
	}
	d.log.Info("the server is ready", "postgres", v.Version, "place", v.Place())
	t := &theatre{server: v, url: v.URL("drill")}
	if err := d.prepare(ctx, v.URL("postgres"), plan); err != nil {
		return nil, errors.Join(err, v.Destroy(context.WithoutCancel(ctx)))
	}
	d.report.Postgres = v.Version
	d.report.Seconds.Server = time.Since(began).Seconds()
	return t, nil
}

func (d *drill) prepare(ctx context.Context, url string, plan *restoring) error {
	conn, err := sql.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	was, roles := plan.genesis.Server, []string(nil)
	if plan.base == nil {
		_, roles, err = sql.Needs(plan.genesis.PreData, plan.genesis.PostData)
	} else {
		was, roles = plan.base.Server, plan.base.Roles
	}
	if err != nil {
		return err
	}
	if err := d.makeDatabase(ctx, conn, was); err != nil {
		return err
	}
	findings, err := sql.CheckSource(ctx, conn, sql.Source{Server: was, Roles: roles})
	if err != nil {
		return err
	}
	for _, f := range findings {
		if f.ID != "role-missing" {
			continue
		}
		if _, err := conn.Exec(ctx, f.Fix); err != nil {
			return fmt.Errorf("make %s: %w", f.Subject, err)
		}
	}
	return nil
}

// makeDatabase makes it with the encoding and the locale of the source, or with
// the server's own locale where this machine has not that one.
func (d *drill) makeDatabase(ctx context.Context, conn *pgx.Conn, was sql.GenesisServer) error {
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

// count says what is there.
func (d *drill) count(ctx context.Context, url string) error {
	began := time.Now()
	conn, err := sql.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tables, err := sql.Tables(ctx, conn)
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
	}
	if err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_database_size(current_database())").Scan(&d.report.Bytes); err != nil {
		return fmt.Errorf("size of the database: %w", err)
	}
	d.report.Seconds.Count = time.Since(began).Seconds()
	return nil
}
