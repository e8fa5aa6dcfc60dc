package bridgetest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// Site is one place where the program runs: its settings, as the environment has
// them.
type Site struct{ Env []string }

// NewSite returns a site on db that uses the given archives.
func NewSite(db *pgtest.DB, archives ...string) *Site {
	return &Site{Env: []string{
		"PGBRIDGE_DATABASE_URL=" + db.URL(), "PGBRIDGE_ARCHIVE=" + strings.Join(archives, ","),
	}}
}

// WithKey gives the site a writer key of its own.
func (s *Site) WithKey(t testing.TB) *Site {
	t.Helper()
	key := filepath.Join(t.TempDir(), "writer.key")
	s.Run(t, "keygen", "--out", key)
	s.Env = append(s.Env, "PGBRIDGE_KEY="+key)
	return s
}

// Run runs the program to its end and returns what it printed. The test fails if
// the exit code is not 0.
func (s *Site) Run(t testing.TB, args ...string) string {
	t.Helper()
	stdout, stderr, code := s.Try(t, args...)
	if code != 0 {
		t.Fatalf("pgbridge %s: exit code %d\n%s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// Try runs the program and returns how it ended.
func (s *Site) Try(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), s.Env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("pgbridge %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}
