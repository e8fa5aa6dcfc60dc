package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a server that takes connections.
type Server struct {
	Port    int
	Version string // 17.5 (Debian 17.5-1)
	Major   int

	password string
	name     string
	engine   engine
}

// engine is what runs a server: Local or Container.
type engine interface {
	Start(ctx context.Context) error
	Alive() error
	Signal(ctx context.Context, sig syscall.Signal) error
	Log(ctx context.Context) string
	Remove(ctx context.Context) error
}

// patience bounds the wait for a server that starts.
const patience = time.Minute

// Start makes a server and waits until it takes connections. settings are
// arguments of the server: -c name=value. What it starts ends with Destroy, or
// with this process.
func (s Source) Start(ctx context.Context, settings []string) (*Server, error) {
	for attempt := 1; ; attempt++ {
		v, err := s.try(ctx, settings)
		if err == nil {
			return v, nil
		}
		if attempt == 3 || !portTaken(err) {
			return nil, fmt.Errorf("start postgres: %w", err)
		}
	}
}

// portTaken knows what postgres, the kernel and Docker call it.
func portTaken(err error) bool {
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "already in use") || strings.Contains(text, "already allocated")
}

func (s Source) try(ctx context.Context, settings []string) (*Server, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	v := &Server{Port: port, password: s.Password, name: rand.Text()}
	if v.engine, err = s.make(ctx, port, append(Named(v.name), settings...)); err != nil {
		return nil, err
	}
	if err = v.engine.Start(ctx); err == nil {
		err = v.ready(ctx)
	}
	if err != nil {
		away := context.WithoutCancel(ctx)
		return nil, errors.Join(fmt.Errorf("%w\n%s", err, v.engine.Log(away)), v.engine.Remove(away))
	}
	return v, nil
}

func (s Source) make(ctx context.Context, port int, settings []string) (engine, error) {
	if s.Bin != "" {
		return NewLocal(s, port, settings)
	}
	return NewContainer(ctx, s.Image, port, s.Password, settings)
}

func (v *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		conn, err := Connect(ctx, v.URL("postgres"), v.name)
		if err == nil {
			err = v.ask(ctx, conn)
			return errors.Join(err, conn.Close(ctx))
		}
		if end := v.engine.Alive(); end != nil {
			return end
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (v *Server) ask(ctx context.Context, conn *pgx.Conn) error {
	const query = "SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000"
	if err := conn.QueryRow(ctx, query).Scan(&v.Version, &v.Major); err != nil {
		return fmt.Errorf("ask for the server's version: %w", err)
	}
	return nil
}

// URL is where a database of the server is, for the superuser, with the password
// if there is one. What the environment says of the encryption of connections is
// meant for other servers.
func (v *Server) URL(database string) string {
	user := url.User("postgres")
	if v.password != "" {
		user = url.UserPassword("postgres", v.password)
	}
	return (&url.URL{Scheme: "postgres", User: user, Host: fmt.Sprintf("127.0.0.1:%d", v.Port), Path: "/" + database, RawQuery: "sslmode=disable"}).String()
}

// Place is the server's folder or container, for people.
func (v *Server) Place() string {
	switch e := v.engine.(type) {
	case *Container:
		return "container " + e.Name
	case *Local:
		return "folder " + e.Dir
	}
	return ""
}

// Program is the command line that begins to run a client program: one of this
// machine of that major version or newer or, in a container, its own.
func (v *Server) Program(name string, major int) ([]string, error) {
	switch e := v.engine.(type) {
	case *Container:
		return []string{"docker", "exec", "--interactive", e.Name, name}, nil
	case *Local:
		path, err := FindClient(name, e.BinDir(), major)
		return []string{path}, err
	}
	return nil, errors.ErrUnsupported
}

// Put copies a file of this machine into the container of the server.
func (v *Server) Put(ctx context.Context, file, path string) error {
	c, ok := v.engine.(*Container)
	if !ok {
		return errors.ErrUnsupported
	}
	_, err := docker(ctx, "cp", file, c.Name+":"+path)
	return err
}

// Destroy ends the server at once, as a power cut would, and deletes it.
func (v *Server) Destroy(ctx context.Context) error {
	err := v.engine.Signal(ctx, syscall.SIGQUIT)
	return errors.Join(err, v.engine.Remove(ctx))
}

// Named are the arguments of a server that is to be told from others by a name.
func Named(name string) []string { return []string{"-c", "cluster_name=" + name} }

// Connect is a connection to the server of that name. Another one may have got its
// port first, and lets everybody in. It gives up soon: the proxy of a container
// that is just starting takes a connection and may then say nothing for a minute.
func Connect(ctx context.Context, url, name string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	var got string
	err = conn.QueryRow(ctx, "SELECT current_setting('cluster_name')").Scan(&got)
	if err == nil && got != name {
		err = errors.New("the port is already in use by another server")
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return conn, nil
}
