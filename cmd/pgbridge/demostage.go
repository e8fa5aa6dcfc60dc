package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pgbridge/pgbridge/internal/server"
	"github.com/pgbridge/pgbridge/postgres"
)

// keyFile is the writer key, in the folder of the stage.
const keyFile = "writer.key"

// stage is where the demo plays: a folder, servers, an archive, and services
// that run in the background. Whatever it starts ends with close, or with this
// process.
type stage struct {
	dir           string // of keys, logs and the archive
	kept          bool
	exe           string
	from          server.Source
	reaper        *server.Reaper
	archive       string // URL of the node
	first, second *site
	third         *site // after the disaster
	services      []*service
	env           []string
	story         io.Writer
	steps         int
}

// site is a server with the demo's database.
type site struct {
	server  *server.Server
	url     string    // of the superuser
	service string    // the same, of the role that init makes
	conn    *pgx.Conn // nil once the server is destroyed
}

// open makes the folder and finds where servers come from.
func (s *stage) open(ctx context.Context, keep string) (err error) {
	s.story = os.Stderr
	if s.exe, err = os.Executable(); err != nil {
		return fmt.Errorf("find pgbridge itself: %w", err)
	}
	if s.from, err = findServers(ctx, 0); err != nil {
		return usageError{err}
	}
	remove := removeFolder
	if keep == "" {
		s.dir, err = os.MkdirTemp("", "pgbridge-demo-")
	} else {
		s.kept, remove = true, ""
		if s.dir, err = filepath.Abs(keep); err == nil {
			err = os.MkdirAll(filepath.Dir(s.dir), 0o755)
		}
		if err == nil {
			err = os.Mkdir(s.dir, 0o755)
		}
	}
	if err != nil {
		return usageError{fmt.Errorf("folder of the demo: %w", err)}
	}
	s.env = demoEnvironment()
	s.reaper, err = server.StartReaper(remove, s.dir)
	return err
}

// removeFolder removes folder $1 while processes that were told to end may
// still write to it: it is gone when it has stayed away for a while.
const removeFolder = `
n=0 away=0
while [ $away -lt 5 ] && [ $n -lt 300 ]; do
	if [ -e "$1" ]; then rm -rf "$1" 2>/dev/null; away=0; else away=$((away + 1)); fi
	sleep 0.1
	n=$((n + 1))
done
`

// findServers finds servers of a major version or the next newer one; 0 is any.
// It prefers Docker, unless its image cannot be had and there are binaries.
func findServers(ctx context.Context, major int) (server.Source, error) {
	from, err := server.FindMajor(ctx, major, server.EngineAnswers)
	if err != nil || from.Image == "" || os.Getenv(server.EnvPostgres) == "docker" {
		return from, err
	}
	if err := server.Pull(ctx, from.Image); err == nil {
		return from, nil
	}
	if binaries, err := server.FindBinaries(major); err == nil {
		return binaries, nil
	}
	return from, nil // its error says what to do
}

// demoEnvironment is the environment without what would lead pgbridge or libpq
// to another database.
func demoEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "PG") && name != postgres.DumpVariable
	})
}

// close ends everything, in the order in which it leans on each other.
func (s *stage) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	errs := []error{s.stop(ctx, s.services)}
	for _, site := range []*site{s.first, s.second, s.third} {
		if site != nil {
			errs = append(errs, site.destroy(ctx))
		}
	}
	if s.reaper != nil {
		errs = append(errs, s.reaper.Close())
	}
	if s.kept {
		s.note("kept: %s (pgbridge log and restore read it as --archive dir://%s)", s.dir, filepath.Join(s.dir, "archive"))
	}
	return errors.Join(errs...)
}

// say begins a step.
func (s *stage) say(format string, args ...any) {
	s.steps++
	fmt.Fprintf(s.story, "\n%d. %s\n", s.steps, fmt.Sprintf(format, args...))
}

// note is a line below a step.
func (s *stage) note(format string, args ...any) {
	fmt.Fprintf(s.story, "   %s\n", fmt.Sprintf(format, args...))
}

// serverSettings are what a source needs.
var serverSettings = []string{"-c", "wal_level=logical", "-c", "max_wal_size=4GB", "-c", "timezone=UTC"}

func (s *stage) newSite(ctx context.Context) (*site, error) {
	v, err := s.from.Start(ctx, serverSettings)
	if err != nil {
		return nil, err
	}
	p := &site{server: v, url: v.URL("app")}
	admin, err := postgres.Connect(ctx, v.URL("postgres"))
	if err == nil {
		_, err = admin.Exec(ctx, "CREATE DATABASE app")
		err = errors.Join(err, admin.Close(ctx))
	}
	if err == nil {
		p.service, err = postgres.ServiceURL(p.url, postgres.DefaultServiceRole, "")
	}
	if err == nil {
		p.conn, err = postgres.Connect(ctx, p.url)
	}
	if err != nil {
		return nil, errors.Join(err, v.Destroy(context.WithoutCancel(ctx)))
	}
	return p, nil
}

// lendDump tells pgbridge init which pg_dump to use: the one beside the server's
// binaries, or in its container.
func (s *stage) lendDump(v *server.Server) error {
	if os.Getenv(postgres.DumpVariable) != "" {
		return nil
	}
	program, err := v.Program("pg_dump", v.Major)
	if err != nil {
		return usageError{err}
	}
	path := program[0]
	if len(program) > 1 { // docker exec
		path = filepath.Join(s.dir, "pg_dump")
		program = slices.Insert(program, 2, "--env", "PGPASSWORD", "--env", "PGOPTIONS", "--env", "LC_ALL")
		if err := os.WriteFile(path, []byte("#!/bin/sh\nexec "+shellWords(program)+" \"$@\"\n"), 0o755); err != nil {
			return err
		}
	}
	s.env = append(s.env, postgres.DumpVariable+"="+path)
	return nil
}

func (p *site) exec(ctx context.Context, statements string) error {
	_, err := p.conn.Exec(ctx, statements)
	return err
}

func (p *site) query(ctx context.Context, query string, into ...any) error {
	return p.conn.QueryRow(ctx, query).Scan(into...)
}

// destroy may be called again.
func (p *site) destroy(ctx context.Context) error {
	if p.conn == nil {
		return nil
	}
	_ = p.conn.Close(ctx) // the server goes anyway
	p.conn = nil
	return p.server.Destroy(ctx)
}
