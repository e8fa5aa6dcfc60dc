package server

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// binaries are a source of servers from binaries; not on a machine that has
// nothing but Docker.
func binaries(t *testing.T) (from Source, ok bool) {
	t.Helper()
	from, err := FindBinaries(0)
	if dir := os.Getenv(EnvBinDir); dir != "" {
		from, err = Source{Bin: dir}, nil
	}
	if err != nil {
		t.Log("this machine runs Postgres in containers only")
	}
	return from, err == nil
}

// The programs that a server runs find nothing of our environment.
func TestEnvironment(t *testing.T) {
	from, err := Find(t.Context(), EngineAnswers)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGPASSWORD", "open sesame")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "open sesame")
	v, err := from.Start(t.Context(), []string{"-c", "fsync=off"})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Destroy(t.Context())
	if found := runs(t, v, `env | grep sesame | cut -d = -f 1`); found != "" {
		t.Errorf("a program of the server has secrets of ours in %s", found)
	}
	if from.Image != "" {
		return
	}
	// What a server and a shell set themselves.
	theirs := regexp.MustCompile(`^(PG_GRANDPARENT_PID|PGLOCALEDIR|PGSYSCONFDIR|LC_\w+|_|OLDPWD|PWD|SHLVL)$`)
	for _, name := range strings.Fields(runs(t, v, `env | cut -d = -f 1`)) {
		if !theirs.MatchString(name) && !slices.Contains([]string{"HOME", "LD_LIBRARY_PATH", "PATH"}, name) {
			t.Errorf("a program of the server has the variable %s", name)
		}
	}
	if got := "folder " + runs(t, v, `echo "$HOME"`); got != v.Place() {
		t.Errorf("HOME: got %s, want %s", got, v.Place())
	}
}

// runs runs a program in the server, which ends with the test, and returns its
// output.
func runs(t *testing.T, v *Server, script string) string {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, v.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var out string
	for _, statement := range []string{
		"CREATE TEMP TABLE said (line text)",
		"COPY said FROM PROGRAM '" + strings.ReplaceAll(script, "'", "''") + "'",
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := conn.QueryRow(ctx, `SELECT coalesce(string_agg(line, E'\n'), '') FROM said`).Scan(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Code in a server of a source that is apart has the rights of another user, and
// none of the files that this process holds.
func TestApart(t *testing.T) {
	from, ok := binaries(t)
	if !ok {
		return
	}
	from, err := from.Apart()
	if os.Geteuid() != 0 {
		if !errors.Is(err, ErrSameUser) {
			t.Errorf("as a user: got %v, want ErrSameUser", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	v, err := from.Start(t.Context(), []string{"-c", "fsync=off"})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Destroy(t.Context())
	if who := runs(t, v, "id -un; id -G | wc -w"); who != "nobody\n1" {
		t.Errorf("got user and number of groups %q, want nobody and 1", who)
	}
	dir := filepath.Dir(t.TempDir()) // its own folder, closed to others
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		mode os.FileMode
		want bool
	}{{0o600, false}, {0o644, true}} {
		if err := os.Chmod(file, c.mode); err != nil {
			t.Fatal(err)
		}
		if got, err := from.CanRead(file); err != nil || got != c.want {
			t.Errorf("read a file of mode %o: got %v, %v, want %v", c.mode, got, err, c.want)
		}
		if got := runs(t, v, "test -r "+file+" && echo true || echo false") == "true"; got != c.want {
			t.Errorf("read a file of mode %o in the server: got %v, want %v", c.mode, got, c.want)
		}
	}
	if got, err := from.CanRead(file + "/none"); err != nil || got {
		t.Errorf("read a file that is not there: got %v, %v, want false", got, err)
	}
}

// A user with more rights than the program's own, or with those of the source's
// server, runs no server of others' code.
func TestApartUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Setenv(EnvUser, "nobody")
		if _, err := (Source{Bin: "/bin"}).Apart(); !errors.Is(err, ErrSameUser) {
			t.Errorf("as a user: got %v, want ErrSameUser", err)
		}
		return
	}
	for name, want := range map[string]string{"root": "refuses to run as root", "postgres": EnvUser, "no such user": "no such user", "nobody": ""} {
		t.Setenv(EnvUser, name)
		_, err := (Source{Bin: "/bin"}).Apart()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	if s, err := (Source{Image: "postgres:17"}).Apart(); err != nil || s.User != "" {
		t.Errorf("an image: got %+v, %v", s, err)
	}
}
