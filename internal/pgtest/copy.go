package pgtest

import (
	"testing"

	"github.com/pgbridge/pgbridge/internal/server"
)

// DataDir returns the server's data folder, or "" in a container.
func (c *Cluster) DataDir() string {
	if l, ok := c.engine.(*server.Local); ok {
		return l.Data()
	}
	return ""
}

// Copy returns a copy of a stopped server: same system identifier, same slots,
// another address. It is stopped; Start starts it. So a test gets a clone, a
// rewind (copy, go on with the original, then start the copy) or, with a file
// standby.signal in DataDir, another timeline. Containers cannot be copied.
func (c *Cluster) Copy(t testing.TB) *Cluster {
	t.Helper()
	from, ok := c.engine.(*server.Local)
	if !ok || c.running {
		t.Fatal("copy a cluster: it must be stopped, and run from binaries (PGBRIDGE_SERVER=binaries)")
	}
	port, err := server.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	to, err := from.Clone(port)
	if err != nil {
		t.Fatal(err)
	}
	clone := &Cluster{engine: to, name: c.name, port: port, major: c.major}
	t.Cleanup(func() { clone.close(t) })
	return clone
}
