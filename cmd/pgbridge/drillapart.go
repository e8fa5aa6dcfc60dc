package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pgbridge/pgbridge/internal/server"
)

// apart is the rule of where a drill may restore. Whoever may write a schema may
// put code into it that runs in the drill's server with the rights of the server's
// operating system user. No credential of the source, or of an archive, may be in
// its reach. So the server runs:
//
//   - in a container, which gets nothing of this machine, or
//   - as a user who is not that of pgbridge, which takes root. That user can read
//     neither the environment nor the memory of pgbridge. Its command line and
//     files may be open to everybody: a drill refuses those with credentials. Or
//   - as the user of pgbridge, if --same-user says that this user holds none, and
//     pgbridge was given none.
func (d *drill) apart(from server.Source) (server.Source, error) {
	apart, err := from.Apart()
	switch {
	case errors.Is(err, server.ErrSameUser) && d.sameUser:
		return from, d.withoutCredentials()
	case errors.Is(err, server.ErrSameUser):
		return from, fmt.Errorf("%w: it could read how pgbridge gets into the database. Do one of these:\n"+
			"start a Docker engine, in which the server will run;\n"+
			"or run pgbridge drill as root on Linux: its server runs as nobody, or as the user in %s;\n"+
			"or run pgbridge drill --same-user --db-id ID as a user, or in a container, that holds no credential and gets none", err, server.EnvUser)
	case err != nil || apart.Image != "":
		return apart, err
	}
	if secret := d.onCommandLine(); secret != "" {
		return apart, fmt.Errorf("there is a password in %s, and everybody on this machine can read a command line: give it in the environment or with --config", secret)
	}
	for _, file := range d.secretFiles() {
		open, err := apart.CanRead(file)
		if err != nil {
			return apart, fmt.Errorf("find out whether %s can read %s: %w", apart.User, file, err)
		}
		if open {
			return apart, fmt.Errorf("the server of the drill runs as %s, who can read %s: chmod o-rwx it", apart.User, file)
		}
	}
	return apart, nil
}

// onCommandLine names the flag that has a password in it; empty: none.
func (d *drill) onCommandLine() string {
	for _, name := range []string{"database-url", "archive"} {
		if flag := d.flags.Lookup(name); flag.Changed && hasPassword(flag.Value.String()) {
			return "--" + name
		}
	}
	return ""
}

// hasPassword tells whether there is one in a URL, or in a list of URLs. It may
// take for one what is none.
func hasPassword(urls string) bool {
	return slices.ContainsFunc(strings.Split(urls, ","), func(text string) bool {
		if _, rest, ok := strings.Cut(text, "://"); ok {
			text = rest
		}
		user, _, at := strings.Cut(text, "@")
		return at && strings.Contains(user, ":") || strings.Contains(text, "password=")
	})
}

// secretFiles are the files in which pgbridge and its driver may find credentials.
func (d *drill) secretFiles() []string {
	files := []string{d.Key, d.Wallet}
	if hasPassword(d.DatabaseURL) || hasPassword(strings.Join(d.Archives, ",")) {
		files = append(files, d.File)
	}
	for _, name := range []string{"PGPASSFILE", "PGSERVICEFILE", "PGSSLKEY"} {
		files = append(files, os.Getenv(name))
	}
	if database, err := url.Parse(d.DatabaseURL); err == nil {
		for _, name := range []string{"passfile", "servicefile", "sslkey"} {
			files = append(files, database.Query().Get(name))
		}
	}
	if home, err := os.UserHomeDir(); err == nil {
		files = append(files, filepath.Join(home, ".pgpass"), filepath.Join(home, ".pg_service.conf"))
	}
	return slices.DeleteFunc(files, func(file string) bool { return file == "" })
}

// withoutCredentials returns an error if pgbridge was given any.
func (d *drill) withoutCredentials() error {
	const refused = "--same-user is for a user who holds no credential, but here is %s: leave it out, or run pgbridge drill as another user"
	for name, value := range map[string]string{"--database-url": d.DatabaseURL, "--key": d.Key, "--wallet": d.Wallet} {
		if value != "" {
			return fmt.Errorf(refused, name)
		}
	}
	if hasPassword(strings.Join(d.Archives, ",")) {
		return fmt.Errorf(refused, "a password in --archive")
	}
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		for _, part := range []string{"PASS", "SECRET", "TOKEN", "CREDENTIAL"} {
			if value != "" && strings.Contains(strings.ToUpper(name), part) {
				return fmt.Errorf(refused, "the variable "+name)
			}
		}
	}
	for _, file := range d.secretFiles() {
		if _, err := os.Stat(file); err == nil {
			return fmt.Errorf(refused, "the file "+file)
		}
	}
	return nil
}
