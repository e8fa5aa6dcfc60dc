package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/pflag"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

// roleOptions are the flags that name the role as which the service connects.
type roleOptions struct {
	name, passwordFile string
	secret             string // the password, where there is no file: of a role that ends with the command
}

func (o *roleOptions) flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.name, "role", "", "the `role` as which pgbridge run connects, made if it is not there (default: the one that is set up, or "+postgres.DefaultServiceRole+")")
	flags.StringVar(&o.passwordFile, "role-password-file", "", "`file` with the password of that role; default: its password is left alone")
}

// password reads the file, if there is one.
func (o *roleOptions) password() (string, error) {
	if o.passwordFile == "" {
		return o.secret, nil
	}
	text, err := archive.ReadSecret("password file", o.passwordFile, "write the password of the role into it")
	if err != nil {
		return "", usageError{err}
	}
	password := string(bytes.TrimRight(text, "\r\n"))
	if password == "" {
		return "", usageError{fmt.Errorf("password file %s is empty", o.passwordFile)}
	}
	return password, nil
}

// choose returns the role: the one that is given, or is set up already, or the default.
func (o *roleOptions) choose(ctx context.Context, q postgres.Querier) (string, error) {
	if o.name != "" {
		return o.name, nil
	}
	installed, err := postgres.Installed(ctx, q)
	if installed || errors.Is(err, postgres.ErrOlder) {
		role, err := postgres.ServiceRole(ctx, q)
		if err != nil || role != "" {
			return role, err
		}
	} else if err != nil {
		return "", err
	}
	return postgres.DefaultServiceRole, nil
}

// makeRole makes the service role and gives it what it needs of the cluster and of
// the database, and logs each statement. What cannot be given and must be is an error
// with the statements for somebody who may.
func (a *app) makeRole(ctx context.Context, conn *pgx.Conn, o roleOptions, use postgres.Role) (string, error) {
	role, err := o.choose(ctx, conn)
	if err != nil {
		return "", err
	}
	password, err := o.password()
	if err != nil {
		return "", err
	}
	if err := a.refuseSuperRole(ctx, conn, role); err != nil {
		return "", err
	}
	grants, err := grantsFor(ctx, conn, role, use)
	if err != nil {
		return "", err
	}
	made, err := postgres.MakeRole(ctx, conn, role, password, grants)
	for _, statement := range made.Done {
		a.log.Info("granted", "sql", statement)
	}
	if err != nil {
		return "", explainRole(ctx, conn, role, err)
	}
	return role, a.refuseGrants(role, made.Refused)
}

// serviceRole is the role as which the restored database is to follow. A part of a database
// never follows, and has one for the time of the restore (makePartRole). Whoever may make no
// roles, and asks for none, restores without one: "".
func (r *restoring) serviceRole(ctx context.Context) (string, error) {
	if r.tables != nil && r.role.name == "" {
		return "", nil
	}
	may, err := postgres.MayMakeRoles(ctx, r.conn)
	if err != nil || !may && r.role.name == "" && !r.follows {
		return "", err
	}
	return r.role.choose(ctx, r.conn)
}

// makeServiceRole makes it before anything is loaded.
func (r *restoring) makeServiceRole(ctx context.Context) (string, error) {
	if r.tables != nil && r.role.name == "" {
		return r.makePartRole(ctx)
	}
	role, err := r.serviceRole(ctx)
	if err != nil || role == "" {
		return "", err
	}
	return r.makeRole(ctx, r.conn, r.role, postgres.RoleFollower)
}

// makePartRole makes a role for the time in which a superuser restores a part of a
// database, which never follows. An interrupted restore finds it again.
func (r *restoring) makePartRole(ctx context.Context) (string, error) {
	user, err := postgres.SessionUser(ctx, r.conn)
	if err != nil {
		return "", err
	}
	super, err := postgres.IsSuperuser(ctx, r.conn, user)
	if err != nil || !super || r.AllowSuperuser {
		return "", err
	}
	const name = "SELECT 'pgbridge_part_' || oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"
	if err := r.conn.QueryRow(ctx, name).Scan(&r.partRole); err != nil {
		return "", fmt.Errorf("name a role: %w", err)
	}
	r.role = roleOptions{name: r.partRole, secret: rand.Text()}
	return r.makeRole(ctx, r.conn, r.role, postgres.RoleFollower)
}

// endPart drops schema pgbridge, and the role that makePartRole has made. What it owns
// goes to the role that connects.
func (r *restoring) endPart(ctx context.Context) error {
	return pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error {
		statements := []string{"DROP SCHEMA pgbridge CASCADE"}
		if r.partRole != "" {
			role := action.QuoteIdent(r.partRole)
			statements = append(statements, "REASSIGN OWNED BY "+role+" TO CURRENT_USER", "DROP OWNED BY "+role, "DROP ROLE "+role)
		}
		for _, statement := range statements {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
}

func grantsFor(ctx context.Context, conn *pgx.Conn, role string, use postgres.Role) ([]postgres.Grant, error) {
	server, err := postgres.LoadServer(ctx, conn)
	if err != nil {
		return nil, err
	}
	var database string
	if err := conn.QueryRow(ctx, "SELECT current_database()").Scan(&database); err != nil {
		return nil, fmt.Errorf("ask for the name of the database: %w", err)
	}
	return postgres.Grants(server, database, role, use), nil
}

func (a *app) refuseSuperRole(ctx context.Context, conn *pgx.Conn, role string) error {
	super, err := postgres.IsSuperuser(ctx, conn, role)
	if err != nil || !super || a.AllowSuperuser {
		return err
	}
	return usageError{fmt.Errorf("--role %s: it is a superuser, as which the service must not run: name another role, or give --allow-superuser", role)}
}

// explainRole says what to do where the role cannot be made.
func explainRole(ctx context.Context, conn *pgx.Conn, role string, err error) error {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "42501" {
		return err
	}
	self, lost := postgres.SessionUser(ctx, conn)
	if lost != nil {
		return errors.Join(err, lost)
	}
	return personError{fmt.Errorf("%w: have an administrator run what pgbridge init prints with --print-grants --role %s, or give --role %s, to run the service as this role", err, role, self)}
}

// refuseGrants returns the fatal ones as one error; the others are logged.
func (a *app) refuseGrants(role string, refused []postgres.Grant) error {
	var fatal []string
	for _, g := range refused {
		if g.Severity == postgres.Fatal {
			fatal = append(fatal, "  "+g.SQL+";  -- else "+g.Without)
			continue
		}
		a.log.Warn("role "+role+" lacks a right, and an administrator has to give it", "sql", g.SQL, "without", g.Without)
	}
	if len(fatal) == 0 {
		return nil
	}
	return personError{fmt.Errorf("an administrator has to give role %s what this role may not give:\n%s", role, strings.Join(fatal, "\n"))}
}

// admitRole gives the service role its rights in schema pgbridge, which is there, and
// tries whether it can connect.
func (a *app) admitRole(ctx context.Context, conn *pgx.Conn, o roleOptions, role string) error {
	if err := postgres.SetServiceRole(ctx, conn, role); err != nil {
		return err
	}
	a.log.Info("granted what the service needs in schema pgbridge", "role", role, "list", "SELECT * FROM pgbridge.service_rights()")
	url, err := a.serviceURL(o, role)
	if err != nil {
		return err
	}
	service, err := postgres.Connect(ctx, url)
	if err != nil {
		a.log.Warn("the service role cannot connect from here: pg_hba.conf has to let it in, and pgbridge run needs its password", "role", role, "error", err)
		return nil
	}
	return service.Close(ctx)
}

// serviceURL is the database URL with the service role in it.
func (a *app) serviceURL(o roleOptions, role string) (string, error) {
	password, err := o.password()
	if err != nil {
		return "", err
	}
	return postgres.ServiceURL(a.DatabaseURL, role, password)
}

// printGrants prints what the service role lacks of the cluster and of the database.
func (a *app) printGrants(ctx context.Context, o roleOptions, use postgres.Role) error {
	conn, err := a.database(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	role, err := o.choose(ctx, conn)
	if err != nil {
		return err
	}
	all, err := grantsFor(ctx, conn, role, use)
	if err != nil {
		return err
	}
	exists, err := postgres.RoleExists(ctx, conn, role)
	if err != nil {
		return err
	}
	var statements []string
	if exists {
		if all, err = postgres.MissingGrants(ctx, conn, all, role); err != nil {
			return err
		}
	} else {
		statements = append(statements, "CREATE ROLE "+action.QuoteIdent(role)+" LOGIN")
	}
	for _, g := range all {
		if exists || g.ID != "login" && g.ID != "inherit" { // a new role has these
			statements = append(statements, g.SQL)
		}
	}
	text := "-- nothing is missing\n"
	if len(statements) > 0 {
		text = strings.Join(statements, ";\n") + ";\n"
	}
	return a.print(map[string][]string{"sql": statements}, "%s", text)
}

// refuseSuperuser keeps the service from working with the rights of a superuser: what
// it reads from archives and from the WAL was written by others.
func (a *app) refuseSuperuser(ctx context.Context, q postgres.Querier) error {
	if a.AllowSuperuser {
		return nil
	}
	user, err := postgres.SessionUser(ctx, q)
	if err != nil {
		return err
	}
	super, err := postgres.IsSuperuser(ctx, q, user)
	if err != nil || !super {
		return err
	}
	installed, err := postgres.Installed(ctx, q)
	if !installed && !errors.Is(err, postgres.ErrOlder) {
		return err // or nothing is set up
	}
	role, err := postgres.ServiceRole(ctx, q)
	if err != nil {
		return err
	}
	if role != "" && role != user {
		return personError{fmt.Errorf("%s is a superuser, as which the service must not run: give --database-url with the service role, postgres://%[2]s@…, or --allow-superuser", user, role)}
	}
	return personError{fmt.Errorf("%s is a superuser, as which the service must not run: run pgbridge init --role %[2]s with this --database-url, then this command with postgres://%[2]s@… in it, or give --allow-superuser",
		user, postgres.DefaultServiceRole)}
}
