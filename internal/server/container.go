package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
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

// NewContainer makes the container of an image like the official postgres one,
// which is pulled if it is not here. It is not started.
func NewContainer(ctx context.Context, image string, port int, settings []string) (*Container, error) {
	c := &Container{Name: "pgbridge-server-" + strings.ToLower(rand.Text()[:10])}
	args := append([]string{
		"create", "--name", c.Name, "--publish", fmt.Sprintf("127.0.0.1:%d:%[1]d", port),
		"--env", "POSTGRES_HOST_AUTH_METHOD=trust", "--env", "POSTGRES_INITDB_ARGS=--encoding=UTF8 --locale=C",
		image, "-c", "port=" + strconv.Itoa(port),
	}, settings...)
	if _, err := docker(ctx, args...); err != nil {
		return nil, fmt.Errorf("create a container of %s (%s names another image, %s=binaries needs none): %w", image, EnvImage, EnvPostgres, err)
	}
	var err error
	if c.reaper, err = StartReaper(`docker rm --force --volumes "$1" >/dev/null 2>&1`, c.Name); err != nil {
		_, removed := docker(context.WithoutCancel(ctx), "rm", "--force", "--volumes", c.Name)
		return nil, errors.Join(err, removed)
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

// Signal returns when the container has ended.
func (c *Container) Signal(ctx context.Context, sig syscall.Signal) error {
	if _, err := docker(ctx, "kill", "--signal", strconv.Itoa(int(sig)), c.Name); err != nil {
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
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
