package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/internal/server"
)

// patience bounds every step that waits for a server.
const patience = time.Minute

// Config is what a test may want to be different about its server.
type Config struct {
	// Settings are server parameters, on top of the kit's own (see settings).
	Settings map[string]string
	// NoSync runs the server with fsync off: faster, and still safe against
	// Kill, which does not stop the operating system.
	NoSync bool

	name string
}

// Cluster is one Postgres server. Its superuser is "postgres", and it trusts
// every local connection, replication included. Its address never changes, so
// a URL stays good through Stop and Start. Methods may be called concurrently
// but for those that start, stop or copy.
type Cluster struct {
	engine  engine
	name    string // by which it is told from another one that has its port
	port    int
	major   int
	running bool
}

// engine is what runs a server: server.Local, or a container.
type engine interface {
	// Start returns when the server is launched, not when it is ready.
	Start(ctx context.Context) error
	// Signal returns when the server and its children are gone.
	Signal(ctx context.Context, sig syscall.Signal) error
	// Alive returns an error that tells why the server ended, if it has.
	Alive() error
	// Log returns what the server has said.
	Log(ctx context.Context) string
	// Remove ends the server, if it runs, and leaves nothing of it.
	Remove(ctx context.Context) error
	// BinDir returns the folder of the server's programs on this machine, or "".
	BinDir() string
}

// settings returns the parameters of every server of the kit, overridden by
// the test's own, as arguments.
func (c Config) settings(major int) []string {
	set := map[string]string{
		"wal_level":                 "logical",
		"max_connections":           "200",
		"max_replication_slots":     "100",
		"max_wal_senders":           "50",
		"max_worker_processes":      "32",
		"max_prepared_transactions": "10",
		"timezone":                  "UTC",
		"log_line_prefix":           "%m [%p] %q%d ",
		"fsync":                     "on",
	}
	if major >= 18 {
		set["max_active_replication_origins"] = "100"
	}
	if c.NoSync {
		set["fsync"] = "off"
	}
	maps.Copy(set, c.Settings)
	args := server.Named(c.name)
	for _, name := range slices.Sorted(maps.Keys(set)) {
		args = append(args, "-c", name+"="+set[name])
	}
	return args
}

// Start starts a server of the test's own and removes it when the test ends.
func Start(t testing.TB, config Config) *Cluster {
	t.Helper()
	c, err := start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.close(t) })
	return c
}

func start(config Config) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience) // an image may have to be pulled
	defer cancel()
	source, err := server.Find(ctx, dockerAnswers)
	if err != nil {
		return nil, err
	}
	config.name = rand.Text()
	// A port is free when it is chosen, not for ever: try again with another.
	for attempt := 1; ; attempt++ {
		c := &Cluster{name: config.name}
		if c.port, err = server.FreePort(); err != nil {
			return nil, err
		}
		if source.Bin != "" {
			c.major = source.Major
			c.engine, err = server.NewLocal(source, c.port, config.settings(c.major))
		} else {
			c.engine, err = newContainer(ctx, source.Image, c.port, config)
		}
		if err != nil {
			return nil, err
		}
		if err = c.start(ctx); err == nil {
			return c, nil
		}
		c.engine.Remove(ctx)
		if attempt == 3 || !strings.Contains(strings.ToLower(err.Error()), "already in use") {
			return nil, err
		}
	}
}

func (c *Cluster) start(ctx context.Context) error {
	if err := c.engine.Start(ctx); err != nil {
		return err
	}
	conn, err := c.ready(ctx)
	if err != nil {
		return fmt.Errorf("start postgres: %w\n%s", err, c.engine.Log(context.WithoutCancel(ctx)))
	}
	defer conn.Close(ctx)
	var num int
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&num); err != nil {
		return fmt.Errorf("ask for the server's version: %w", err)
	}
	c.major, c.running = num/10000, true
	return nil
}

// ready waits until the server takes connections.
func (c *Cluster) ready(ctx context.Context) (conn *pgx.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var ended error
	err = Poll(ctx, func() (err error) {
		if conn, err = server.Connect(ctx, c.url("postgres", "postgres"), c.name); err != nil {
			ended = c.engine.Alive()
		}
		if ended != nil {
			cancel() // there is nothing to wait for
		}
		return err
	})
	if ended != nil {
		return nil, ended
	}
	return conn, err
}

// Start starts a server that was stopped or killed and waits until it takes
// connections. A killed server has recovered by then.
func (c *Cluster) Start(t testing.TB) {
	t.Helper()
	if err := c.start(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// Stop shuts the server down with a checkpoint ("fast"): sessions are ended,
// replication connections are first sent everything.
func (c *Cluster) Stop(t testing.TB) {
	t.Helper()
	c.signal(t, syscall.SIGINT)
}

// StopImmediate ends the server without a checkpoint: it recovers at Start.
func (c *Cluster) StopImmediate(t testing.TB) {
	t.Helper()
	c.signal(t, syscall.SIGQUIT)
}

// Kill ends the server and all its children with SIGKILL, as the kernel would.
func (c *Cluster) Kill(t testing.TB) {
	t.Helper()
	c.signal(t, syscall.SIGKILL)
}

// Restart is Stop and Start.
func (c *Cluster) Restart(t testing.TB) {
	t.Helper()
	c.Stop(t)
	c.Start(t)
}

func (c *Cluster) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.engine.Signal(ctx, sig); err != nil {
		t.Fatalf("stop postgres: %v\n%s", err, c.engine.Log(ctx))
	}
	c.running = false
}

func (c *Cluster) close(t testing.TB) {
	t.Helper()
	if err := c.remove(); err != nil {
		t.Errorf("remove postgres: %v", err)
	}
}

func (c *Cluster) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c.running = false
	return c.engine.Remove(ctx)
}

// Major returns the server's major version, 14 to 18.
func (c *Cluster) Major() int { return c.major }

// Port returns the server's TCP port on 127.0.0.1.
func (c *Cluster) Port() int { return c.port }

// BinDir returns the folder of the server's programs, or "" in a container.
func (c *Cluster) BinDir() string { return c.engine.BinDir() }

// Log returns what the server has written to its log.
func (c *Cluster) Log() string { return c.engine.Log(context.Background()) }

func (c *Cluster) url(user, db string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User(user),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)),
		Path:     "/" + db,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}
