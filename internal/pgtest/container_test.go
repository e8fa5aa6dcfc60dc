package pgtest

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/server"
)

// In a process of its own, for testcontainers remembers what it has found.
func TestDockerWithoutAnEngine(t *testing.T) {
	t.Parallel()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "PGTEST_ORPHAN=1", server.EnvPostgres+"=docker", "DOCKER_HOST=unix:///nowhere/docker.sock")
	out, err := child.Output()
	if err == nil || !strings.Contains(string(out), "no engine answers") {
		t.Errorf("got %v, %s, want: no engine answers", err, out)
	}
}
