package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
)

const (
	envPostgres  = "PGBRIDGE_TEST_POSTGRES"  // docker or binaries: take no other
	envBinDir    = "PGBRIDGE_TEST_BINDIR"    // the folder with postgres and initdb
	envImage     = "PGBRIDGE_TEST_IMAGE"     // the image of a container
	envClientDir = "PGBRIDGE_TEST_CLIENTDIR" // the folder with psql, pg_dump, pgbench

	defaultImage = "postgres:17"
)

var errNoPostgres = errors.New(`find a Postgres for the tests: there is none on this machine.
Install the server (Debian, Ubuntu: apt-get install postgresql postgresql-contrib; macOS: brew install postgresql@17),
or start a Docker engine, or name a folder with postgres and initdb in ` + envBinDir)

// source is where servers come from: a folder of binaries, or an image.
type source struct {
	bin   string
	major int
	image string
}

func findSource(ctx context.Context) (source, error) {
	want, image := os.Getenv(envPostgres), os.Getenv(envImage)
	if image == "" {
		image = defaultImage
	}
	switch want {
	case "binaries", "":
	case "docker":
		if err := dockerAnswers(ctx); err != nil {
			return source{}, fmt.Errorf("%s=docker, but no engine answers: %w", envPostgres, err)
		}
		return source{image: image}, nil
	default:
		return source{}, fmt.Errorf("%s is %q: it must be docker, binaries or unset", envPostgres, want)
	}
	if dir := os.Getenv(envBinDir); dir != "" {
		major, err := majorOf(filepath.Join(dir, "postgres"))
		if err != nil {
			return source{}, fmt.Errorf("%s: %w", envBinDir, err)
		}
		return source{bin: dir, major: major}, nil
	}
	if want == "" && dockerAnswers(ctx) == nil {
		return source{image: image}, nil
	}
	return findBinaries()
}

// findBinaries looks in PATH, where a link may lead to the real folder, and
// then where Debian keeps every version.
func findBinaries() (source, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			if major, err := majorOf(real); err == nil {
				return source{bin: filepath.Dir(real), major: major}, nil
			}
		}
	}
	best := source{}
	for _, dir := range debianDirs() {
		if major, err := majorOf(filepath.Join(dir, "postgres")); err == nil && major > best.major {
			best = source{bin: dir, major: major}
		}
	}
	if best.bin == "" {
		return source{}, errNoPostgres
	}
	return best, nil
}

func debianDirs() []string {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	return dirs
}

// findClient returns the client program whose version is nearest to the
// server's and not older: pg_dump refuses a newer server, and what it writes
// for a newer one an older one may not understand.
func findClient(name, serverDir string, server int) (string, error) {
	dirs := append([]string{serverDir}, debianDirs()...)
	if dir := os.Getenv(envClientDir); dir != "" {
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
		return "", fmt.Errorf("find %s: install the clients of PostgreSQL %d (Debian, Ubuntu: postgresql-client) or name their folder in %s", name, server, envClientDir)
	}
	if best == "" {
		return "", fmt.Errorf("find %s: the newest is of version %d, the server is %d: name a folder with newer clients in %s (make postgres-versions gets them)", name, newest, server, envClientDir)
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
