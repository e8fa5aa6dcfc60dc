package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tcexec "github.com/testcontainers/testcontainers-go/exec"
	tclog "github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/modules/postgres"

	"github.com/pgbridge/pgbridge/internal/server"
)

// docker runs a server in a container. Its port is published on a fixed port
// of 127.0.0.1, because one that Docker chooses changes with every start.
type docker struct {
	container *postgres.PostgresContainer
	client    *testcontainers.DockerClient
}

// allowReplication completes the image's pg_hba.conf: its "all" does not cover
// physical replication.
const allowReplication = `#!/bin/sh
echo 'host replication all all trust' >>"$PGDATA/pg_hba.conf"
`

func newContainer(ctx context.Context, image string, port int, config Config) (*docker, error) {
	quiet()
	cli, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return nil, err
	}
	d := &docker{client: cli}
	major := 0
	if _, tag, ok := strings.Cut(image, ":"); ok {
		major, _ = strconv.Atoi(strings.FieldsFunc(tag+".", func(r rune) bool { return r < '0' || r > '9' })[0])
	}
	d.container, err = postgres.Run(ctx, image,
		postgres.WithUsername("postgres"), postgres.WithPassword("postgres"), postgres.WithDatabase("postgres"),
		testcontainers.WithEnv(map[string]string{
			"POSTGRES_HOST_AUTH_METHOD": "trust",
			"POSTGRES_INITDB_ARGS":      "--encoding=UTF8 --locale=C",
		}),
		testcontainers.WithFiles(testcontainers.ContainerFile{
			Reader:            strings.NewReader(allowReplication),
			ContainerFilePath: "/docker-entrypoint-initdb.d/replication.sh",
			FileMode:          0o755,
		}),
		testcontainers.WithCmd(append([]string{"postgres"}, config.settings(major)...)...),
		testcontainers.WithHostConfigModifier(func(host *container.HostConfig) {
			host.PortBindings = network.PortMap{network.MustParsePort("5432/tcp"): {{
				HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: strconv.Itoa(port),
			}}}
		}),
		testcontainers.WithNoStart(),
	)
	if err != nil {
		d.Remove(ctx)
		return nil, fmt.Errorf("create a container of %s (%s names another image, %s=binaries needs none): %w", image, server.EnvImage, server.EnvPostgres, err)
	}
	return d, nil
}

// quiet stops testcontainers from writing every step to standard error.
var quiet = sync.OnceFunc(func() { tclog.SetDefault(silence{}) })

type silence struct{}

func (silence) Printf(string, ...any) {}

// dockerAnswers returns nil when there is an engine.
func dockerAnswers(ctx context.Context) (err error) {
	quiet()
	defer func() { // testcontainers panics where it finds no socket
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	cli, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return err
	}
	defer cli.Close()
	_, err = cli.Ping(ctx, client.PingOptions{})
	return err
}

func (d *docker) Start(ctx context.Context) error { return d.container.Start(ctx) }
func (d *docker) BinDir() string                  { return "" }

func (d *docker) Alive() error {
	state, err := d.container.State(context.Background())
	if err != nil {
		return err
	}
	if !state.Running {
		return fmt.Errorf("the container ended with status %d", state.ExitCode)
	}
	return nil
}

func (d *docker) Signal(ctx context.Context, sig syscall.Signal) error {
	wait := d.client.ContainerWait(ctx, d.container.GetContainerID(), client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	_, err := d.client.ContainerKill(ctx, d.container.GetContainerID(), client.ContainerKillOptions{Signal: strconv.Itoa(int(sig))})
	if err != nil {
		return err
	}
	select {
	case <-wait.Result:
		return nil
	case err := <-wait.Error:
		return err
	}
}

func (d *docker) Log(ctx context.Context) string {
	r, err := d.container.Logs(ctx)
	if err != nil {
		return err.Error()
	}
	defer r.Close()
	b, _ := io.ReadAll(r)
	return string(b)
}

func (d *docker) run(ctx context.Context, db string, argv []string) (string, error) {
	env := tcexec.WithEnv([]string{"PGUSER=postgres", "PGDATABASE=" + db})
	status, out, err := d.container.Exec(ctx, argv, env)
	if err != nil {
		return "", err
	}
	var stdout, stderr strings.Builder
	if _, err := stdcopy.StdCopy(&stdout, &stderr, out); err != nil {
		return "", err
	}
	if status != 0 {
		return "", fmt.Errorf("exit status %d\n%s", status, stderr.String())
	}
	return stdout.String(), nil
}

func (d *docker) Remove(ctx context.Context) error {
	var err error
	if d.container != nil {
		err = d.container.Terminate(ctx, testcontainers.StopTimeout(0))
	}
	return errors.Join(err, d.client.Close())
}
