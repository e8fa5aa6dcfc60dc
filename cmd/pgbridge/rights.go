package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/pflag"

	"github.com/pgbridge/pgbridge/postgres"
)

// rightsOptions are the flags about roles, owners and privileges, with the meaning
// of pg_restore's.
type rightsOptions struct {
	createRoles bool
	without     postgres.Without
}

func (o *rightsOptions) flags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.createRoles, "create-roles", false, "make the roles that are missing: NOLOGIN, without a password")
	flags.BoolVarP(&o.without.Owner, "no-owner", "O", false, "everything belongs to the role that connects")
	flags.BoolVarP(&o.without.Privileges, "no-privileges", "x", false, "grant and revoke nothing")
}

// same refuses to go on with what was begun with other flags.
func (o *rightsOptions) same(d postgres.Database) error {
	if o.without != d.Without {
		return usageError{fmt.Errorf("this database was begun with --no-owner=%t --no-privileges=%t: give the same, or use another database", d.Without.Owner, d.Without.Privileges)}
	}
	return nil
}

// loading is how the schema of the source is loaded through conn, which may be nil.
func (o *rightsOptions) loading(ctx context.Context, conn *pgx.Conn, roles []postgres.ServerRole) (postgres.Loading, error) {
	if conn == nil {
		return postgres.NewLoadingAnywhere(roles, o.without), nil
	}
	return postgres.NewLoading(ctx, conn, roles, o.without)
}

// source is what a server must have for a schema: its roles, and its extensions.
func (o *rightsOptions) source(ctx context.Context, conn *pgx.Conn, server postgres.GenesisServer, roles []postgres.ServerRole, preData, postData string) (postgres.Source, error) {
	source := postgres.Source{Server: server, Roles: roles, CreateRoles: o.createRoles}
	how, err := o.loading(ctx, conn, roles)
	if err != nil {
		return source, err
	}
	if source.Used, err = how.RolesUsed(preData, postData); err != nil {
		return source, err
	}
	if source.Extensions, err = postgres.ExtensionsOf(preData); err != nil {
		return source, err
	}
	source.Policed, source.Forced, err = postgres.RowSecurity(preData, postData)
	return source, err
}

// make makes the roles that are missing, if it was told to.
func (o *rightsOptions) make(ctx context.Context, a *app, conn *pgx.Conn, source postgres.Source) error {
	if !o.createRoles {
		return nil
	}
	made, err := postgres.CreateRoles(ctx, conn, source)
	if err != nil {
		return errors.Join(err, errors.New("--create-roles needs a superuser or a role with CREATEROLE"))
	}
	for _, statement := range made {
		a.log.Info("a role was made", "statement", statement)
	}
	return nil
}

// readyRoles does for roles that are younger than what the restore began with what was done
// for the others then: those that are missing are made if it was told to, and the author of
// a statement is admitted if it is here and no superuser.
func (r *restoring) readyRoles(ctx context.Context, author string, named []string) error {
	source := postgres.Source{CreateRoles: true}
	source.Used.Named = named
	if author != "" {
		source.Used.Named = append([]string{author}, named...)
	}
	if err := r.rights.make(ctx, r.app, r.conn, source); err != nil || author == "" {
		return err
	}
	return postgres.AdmitAuthors(ctx, r.conn, []postgres.ServerRole{{Name: author}})
}
