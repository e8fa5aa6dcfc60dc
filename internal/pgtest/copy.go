package pgtest

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// DataDir returns the server's data folder, or "" in a container.
func (c *Cluster) DataDir() string {
	if l, ok := c.engine.(*local); ok {
		return l.data()
	}
	return ""
}

// Copy returns a copy of a stopped server: same system identifier, same slots,
// another address. It is stopped; Start starts it. So a test gets a clone, a
// rewind (copy, go on with the original, then start the copy) or, with a file
// standby.signal in DataDir, another timeline. Containers cannot be copied.
func (c *Cluster) Copy(t testing.TB) *Cluster {
	t.Helper()
	from, ok := c.engine.(*local)
	if !ok || c.running {
		t.Fatal("copy a cluster: it must be stopped, and run from binaries (PGBRIDGE_TEST_POSTGRES=binaries)")
	}
	to, err := newFolder(from.bin)
	if err != nil {
		t.Fatal(err)
	}
	clone := &Cluster{engine: to, major: c.major}
	t.Cleanup(func() { clone.close(t) })
	if out, err := exec.Command("cp", "-a", from.data(), to.dir).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v\n%s", from.data(), err, out)
	}
	if clone.port, err = freePort(); err != nil {
		t.Fatal(err)
	}
	for _, arg := range from.args {
		arg = strings.ReplaceAll(arg, from.dir, to.dir)
		to.args = append(to.args, strings.ReplaceAll(arg, "port="+strconv.Itoa(c.port), "port="+strconv.Itoa(clone.port)))
	}
	return clone
}
