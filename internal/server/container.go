package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// EngineAnswers returns nil when the docker program reaches an engine.
func EngineAnswers(ctx context.Context) error {
	_, err := docker(ctx, "version", "--format", "{{.Server.Version}}")
	return err
}

// Pull makes sure that the image is on this machine.
func Pull(ctx context.Context, image string) error {
	if _, err := docker(ctx, "image", "inspect", image); err == nil {
		return nil
	}
	_, err := docker(ctx, "pull", "--quiet", image)
	return err
}

// Container is a server run by the docker program. Its port is the same inside
// and outside, so that a URL is good on both sides.
type Container struct {
	Name   string
	reaper *Reaper
}

// sharedMemory is the most that the sessions of a server may share while they
// work on one query together. Docker's 64 MiB are too few for a few big ones.
const sharedMemory = "1g"

// reapContainer removes container $1. The engine may still be making it.
const reapContainer = `
exec >/dev/null 2>&1
n=0
until docker container inspect "$1" || [ $n -ge 30 ]; do sleep 0.1; n=$((n + 1)); done
docker rm --force --volumes "$1"
`

// NewContainer makes the container of an image like the official postgres one,
// which is pulled if it is not here. It is not started. With no password it
// trusts everybody on this machine, and in its other containers. The reaper is
// there first: who is killed meanwhile leaves no container either.
func NewContainer(ctx context.Context, image string, port int, password string, settings []string) (*Container, error) {
	c := &Container{Name: "pgbridge-server-" + strings.ToLower(rand.Text()[:10])}
	var err error
	if c.reaper, err = StartReaper(reapContainer, c.Name); err != nil {
		return nil, err
	}
	access := "POSTGRES_HOST_AUTH_METHOD=trust"
	if password != "" {
		access = "POSTGRES_PASSWORD" // the value is in the environment: arguments are for everybody to see
	}
	create := command(ctx, append([]string{
		"create", "--name", c.Name, "--publish", fmt.Sprintf("127.0.0.1:%d:%[1]d", port), "--shm-size", sharedMemory,
		"--env", access, "--env", "POSTGRES_INITDB_ARGS=--encoding=UTF8 --locale=C",
		image, "-c", "port=" + strconv.Itoa(port),
	}, settings...)...)
	create.Env = append(os.Environ(), "POSTGRES_PASSWORD="+password)
	if _, err := output(create); err != nil {
		err = fmt.Errorf("create a container of %s (%s names another image, %s=binaries needs none): %w", image, EnvImage, EnvPostgres, err)
		return nil, errors.Join(err, c.reaper.Close())
	}
	return c, nil
}

// Start returns when the container runs, not when the server is ready.
func (c *Container) Start(ctx context.Context) error {
	_, err := docker(ctx, "start", c.Name)
	return err
}

// Alive returns an error if the container has ended.
func (c *Container) Alive() error {
	out, err := docker(context.Background(), "inspect", "--format", "{{.State.Running}}", c.Name)
	if err == nil && out != "true" {
		err = errors.New("the container ended")
	}
	return err
}

// Signal returns when the container has ended, which it may have by itself.
func (c *Container) Signal(ctx context.Context, sig syscall.Signal) error {
	if _, err := docker(ctx, "kill", "--signal", strconv.Itoa(int(sig)), c.Name); err != nil && c.Alive() == nil {
		return err
	}
	_, err := docker(ctx, "wait", c.Name)
	return err
}

// Log is what the server has said.
func (c *Container) Log(ctx context.Context) string {
	out, _ := exec.CommandContext(ctx, "docker", "logs", c.Name).CombinedOutput()
	return string(out)
}

// Remove ends the server, if it runs, and leaves nothing of it.
func (c *Container) Remove(context.Context) error { return c.reaper.Close() }

// docker runs the docker program and returns what it printed.
func docker(ctx context.Context, args ...string) (string, error) {
	return output(command(ctx, args...))
}

func command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "docker", args...)
}

func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", cmd.Args[1], err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
