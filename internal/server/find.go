package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
)

// The environment variables that choose where servers come from.
const (
	EnvPostgres  = "PGBRIDGE_SERVER"           // docker or binaries: take no other
	EnvBinDir    = "PGBRIDGE_SERVER_BINDIR"    // the folder with postgres and initdb
	EnvUser      = "PGBRIDGE_SERVER_USER"      // as whom root runs binaries that run what others wrote
	EnvImage     = "PGBRIDGE_SERVER_IMAGE"     // the image of a container
	EnvClientDir = "PGBRIDGE_SERVER_CLIENTDIR" // the folder with psql, pg_dump, pgbench

	defaultImage = "postgres:17"
)

// ErrNone: there is no Postgres on this machine.
var ErrNone = errors.New(`find a Postgres: there is none on this machine.
Install the server (Debian, Ubuntu: apt-get install postgresql postgresql-contrib; macOS: brew install postgresql@17),
or start a Docker engine, or name a folder with postgres and initdb in ` + EnvBinDir)

// ErrSameUser: a server would run as the user of this process.
var ErrSameUser = errors.New("a server from binaries would run as the user of pgbridge, and whatever code is in it with the rights of that user")

// Source is where servers come from: a folder of binaries, or an image.
type Source struct {
	Bin   string
	Major int // of the binaries
	Image string

	// Password is what a server asks of everybody who connects. Where it is
	// empty, everybody on this machine may be the superuser.
	//
	// It keeps out the other users of this machine, not the code in the server: a
	// program that the server runs can change its pg_hba.conf, and finds the password
	// in the environment of a container. So it must be good for this server only.
	Password string

	// User is the operating system user as whom root runs the binaries; default:
	// postgres, or nobody where there is none.
	User string
}

// String is for people.
func (s Source) String() string {
	if s.Bin != "" {
		return s.Bin
	}
	return "image " + s.Image
}

// Find looks, in this order, at the folder that PGBRIDGE_SERVER_BINDIR names, for
// a Docker engine, in PATH, and in the usual folders. PGBRIDGE_SERVER
// takes one of the ways away. engine returns nil when a Docker engine answers.
func Find(ctx context.Context, engine func(context.Context) error) (Source, error) {
	return FindMajor(ctx, 0, engine)
}

// FindMajor is Find for servers of a major version: the official image of it, or
// binaries of it, else of the next newer one that is here. 0 is any. An image or
// a folder that the environment names is taken as it is.
func FindMajor(ctx context.Context, major int, engine func(context.Context) error) (Source, error) {
	want, image := os.Getenv(EnvPostgres), os.Getenv(EnvImage)
	switch {
	case image != "":
	case major > 0:
		image = fmt.Sprintf("postgres:%d", major)
	default:
		image = defaultImage
	}
	switch want {
	case "binaries", "":
	case "docker":
		if err := engine(ctx); err != nil {
			return Source{}, fmt.Errorf("%s=docker, but no engine answers: %w", EnvPostgres, err)
		}
		return Source{Image: image}, nil
	default:
		return Source{}, fmt.Errorf("%s is %q: it must be docker, binaries or unset", EnvPostgres, want)
	}
	if dir := os.Getenv(EnvBinDir); dir != "" {
		major, err := majorOf(filepath.Join(dir, "postgres"))
		if err != nil {
			return Source{}, fmt.Errorf("%s: %w", EnvBinDir, err)
		}
		return Source{Bin: dir, Major: major}, nil
	}
	if want == "" && engine(ctx) == nil {
		return Source{Image: image}, nil
	}
	return FindBinaries(major)
}

// FindBinaries looks in PATH, where a link may lead to the real folder, and
// then where Debian keeps every version. It takes the version that is nearest
// to major and not older; for 0, what PATH has, else the newest.
func FindBinaries(major int) (Source, error) {
	var here []Source
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			here = addBinaries(here, filepath.Dir(real))
		}
	}
	if major == 0 && len(here) > 0 {
		return here[0], nil
	}
	for _, dir := range debianDirs() {
		here = addBinaries(here, dir)
	}
	if len(here) == 0 {
		return Source{}, ErrNone
	}
	slices.SortStableFunc(here, func(a, b Source) int { return a.Major - b.Major })
	newest := here[len(here)-1]
	if major == 0 {
		return newest, nil
	}
	if i := slices.IndexFunc(here, func(s Source) bool { return s.Major >= major }); i >= 0 {
		return here[i], nil
	}
	return Source{}, fmt.Errorf("find PostgreSQL %[1]d or newer: the newest on this machine is %[2]d: install it (Debian, Ubuntu: apt-get install postgresql-%[1]d), or name a folder with its postgres and initdb in %[3]s, or start a Docker engine", major, newest.Major, EnvBinDir)
}

func addBinaries(to []Source, dir string) []Source {
	if major, err := majorOf(filepath.Join(dir, "postgres")); err == nil {
		to = append(to, Source{Bin: dir, Major: major})
	}
	return to
}

func debianDirs() []string {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	return dirs
}

// FindClient returns the client program whose version is nearest to the
// server's and not older: pg_dump refuses a newer server, and what it writes
// for a newer one an older one may not understand. It looks beside the server
// (in serverDir, if that is not empty), in the usual folders and in PATH.
func FindClient(name, serverDir string, server int) (string, error) {
	dirs := append([]string{serverDir}, debianDirs()...)
	if dir := os.Getenv(EnvClientDir); dir != "" {
		dirs = []string{dir}
	} else if path, err := exec.LookPath(name); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	best, bestMajor, newest := "", 0, 0
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		major, err := majorOf(path)
		if dir == "" || err != nil {
			continue
		}
		newest = max(newest, major)
		if major >= server && (best == "" || major < bestMajor) {
			best, bestMajor = path, major
		}
	}
	if best == "" && newest == 0 {
		return "", fmt.Errorf("find %s: install the clients of PostgreSQL %d (Debian, Ubuntu: postgresql-client) or name their folder in %s", name, server, EnvClientDir)
	}
	if best == "" {
		return "", fmt.Errorf("find %s: the newest is of version %d, the server is %d: name a folder with newer clients in %s (make postgres-versions gets them)", name, newest, server, EnvClientDir)
	}
	return best, nil
}

var (
	majors        sync.Map // path → int
	versionFormat = regexp.MustCompile(`\(PostgreSQL\) ([0-9]+)`)
)

// majorOf asks a program of Postgres for its major version.
func majorOf(program string) (int, error) {
	if known, ok := majors.Load(program); ok {
		return known.(int), nil
	}
	out, err := exec.Command(program, "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("ask %s for its version: %w", program, err)
	}
	m := versionFormat.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("ask %s for its version: it said %q", program, out)
	}
	major, _ := strconv.Atoi(string(m[1]))
	majors.Store(program, major)
	return major, nil
}
