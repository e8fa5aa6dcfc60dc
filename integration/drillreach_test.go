package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pgbridge/pgbridge/internal/bridgetest"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// folderForAll is a folder that every user of this machine may write to.
func folderForAll(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func writeFor(t *testing.T, file, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return file
}

// reachProbe writes all that it can find out to a file: who it is, every environment and
// command line, file 3 if it is the server that it got it from, and the files that
// it is told to read.
const reachProbe = `#!/bin/sh
out=$1 fd=$2
shift 2
{
	id
	env
	cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline "$@" | tr '\0' '\n'
	[ "$fd" = none ] || timeout 1 cat <&3
	echo done
} >"$out" 2>/dev/null
exit 0
`

// What runs in the server of a drill, as the server itself or from a CHECK of the
// schema, reaches no secret of pgbridge: not in its environment, nor in its files,
// nor in those that it holds open.
func TestDrillReach(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Config{NoSync: true})
	if cluster.BinDir() == "" || os.Geteuid() != 0 {
		t.Log("drills are in containers here, or refused: see TestDrillSameUser")
		return
	}
	const password = "pa55-of-the-source"
	home, dir := t.TempDir(), folderForAll(t)
	passfile := writeFor(t, filepath.Join(home, ".pgpass"), "*:*:*:*:"+password+"-in-a-file\n", 0o600)
	held, err := os.Open(writeFor(t, filepath.Join(home, "held"), password+"-in-an-open-file\n", 0o600))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()

	source := cluster.Database(t)
	node, _ := startNode(t, t.TempDir())
	writer := newSite(t, source, node).withKey(t)
	key := strings.TrimPrefix(writer.env[len(writer.env)-1], "PGBRIDGE_KEY=")
	program := writeFor(t, filepath.Join(dir, "probe"), reachProbe, 0o755)
	files := strings.Join([]string{key, passfile, held.Name()}, " ")
	source.Exec(t, `CREATE FUNCTION reach() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
		CREATE TABLE trap (id int PRIMARY KEY CHECK (reach())); INSERT INTO trap VALUES (1)`)
	source.Exec(t, fmt.Sprintf(`CREATE OR REPLACE FUNCTION reach() RETURNS boolean LANGUAGE plpgsql AS $$
		BEGIN
			COPY (SELECT 1) TO PROGRAM '%s %s/check none %s';
			RETURN true;
		EXCEPTION WHEN insufficient_privilege THEN RETURN true; -- who may run no program reaches nothing
		END $$`, program, dir, files))
	writer.pgbridge(t, "init", "--name", "trap")
	writer.start(t, "run")
	published(t, source)

	// The drill's postgres probes, and then is postgres.
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(cluster.BinDir(), "initdb"), filepath.Join(bin, "initdb")); err != nil {
		t.Fatal(err)
	}
	writeFor(t, filepath.Join(bin, "postgres"), fmt.Sprintf("#!/bin/sh\n[ \"$1\" = --version ] || %s %s/server 3 %s\nexec %s \"$@\"\n",
		program, dir, files, filepath.Join(cluster.BinDir(), "postgres")), 0o755)

	drill := exec.Command(bridgetest.Binary(), "drill", "--json")
	drill.Env = append(os.Environ(), writer.env...)
	drill.Env = append(drill.Env, "HOME="+home, "PGPASSWORD="+password, "AWS_SECRET_ACCESS_KEY="+password, "PGSSLMODE=require",
		"PGBRIDGE_DATABASE_URL="+strings.Replace(source.URL(), "postgres@", "postgres:"+password+"@", 1),
		"PGBRIDGE_SERVER=binaries", "PGBRIDGE_SERVER_BINDIR="+bin)
	drill.ExtraFiles = []*os.File{held}
	if out, err := drill.CombinedOutput(); err != nil {
		t.Fatalf("drill: %v\n%s", err, out)
	}
	secret, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, by := range []string{"server", "check"} {
		found, err := os.ReadFile(filepath.Join(dir, by))
		if by == "check" && os.IsNotExist(err) {
			continue // the restore may run no program
		}
		if err != nil || !strings.HasSuffix(string(found), "done\n") {
			t.Fatalf("the probe of the %s did not work: %v\n%s", by, err, found)
		}
		for _, needle := range []string{password, strings.TrimSpace(string(secret))} {
			for _, line := range strings.Split(string(found), "\n") {
				if strings.Contains(line, needle) {
					t.Errorf("what runs in the %s finds %s", by, line)
				}
			}
		}
		if who, _, _ := strings.Cut(string(found), "\n"); strings.Contains(who, "(root)") || strings.Contains(who, "(postgres)") {
			t.Errorf("what runs in the %s is %s", by, who)
		}
	}
}

// A drill does not begin where its server could read what pgbridge can, and says
// what to do.
func TestDrillSameUser(t *testing.T) {
	t.Parallel()
	source := pgtest.New(t)
	if source.Cluster.BinDir() == "" {
		t.Log("drills are in containers here")
		return
	}
	source.Exec(t, `CREATE TABLE post (id int PRIMARY KEY)`)
	node, _ := startNode(t, t.TempDir())
	writer := newSite(t, source, node).withKey(t)
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "board"))
	writer.start(t, "run")
	published(t, source)

	dir := folderForAll(t)
	text, err := os.ReadFile(bridgetest.Binary())
	if err != nil {
		t.Fatal(err)
	}
	program := writeFor(t, filepath.Join(dir, "pgbridge"), string(text), 0o755)
	key := writeFor(t, filepath.Join(dir, "writer.key"), "everybody can read it", 0o644)
	passfile := writeFor(t, filepath.Join(dir, ".pgpass"), "", 0o600)
	database := "PGBRIDGE_DATABASE_URL=" + source.URL()
	withPassword := strings.Replace(source.URL(), "postgres@", "postgres:pa55@", 1)
	for _, c := range []struct {
		name string
		root bool
		args []string
		env  []string
		want string // of the error; empty: none
	}{
		{"a user", false, nil, []string{database}, "start a Docker engine"},
		{"a user who has a database", false, []string{"--same-user"}, []string{database}, "here is --database-url"},
		{"a user who has a key", false, []string{"--same-user", "--db-id", id}, []string{"PGBRIDGE_KEY=" + key}, "here is --key"},
		{"a user who has a password", false, []string{"--same-user", "--db-id", id}, []string{"PGPASSWORD=pa55"}, "here is the variable PGPASSWORD"},
		{"a user who has a password file", false, []string{"--same-user", "--db-id", id}, []string{"HOME=" + dir}, passfile},
		{"a user who has nothing", false, []string{"--same-user", "--db-id", id}, nil, ""},
		{"root", true, nil, []string{database}, ""},
		{"a key that everybody can read", true, nil, []string{database, "PGBRIDGE_KEY=" + key}, "who can read " + key},
		{"a password on the command line", true, []string{"--database-url", withPassword}, nil, "a password in --database-url"},
		{"the user of the source's server", true, nil, []string{database, "PGBRIDGE_SERVER_USER=postgres"}, "PGBRIDGE_SERVER_USER is postgres"},
	} {
		if c.root && os.Geteuid() != 0 {
			continue
		}
		cmd := exec.Command(program, append([]string{"drill", "--log-level", "error"}, c.args...)...)
		cmd.Dir = dir
		cmd.Env = append([]string{
			"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "PGBRIDGE_ARCHIVE=" + node,
			"PGBRIDGE_SERVER=binaries", "PGBRIDGE_SERVER_BINDIR=" + source.Cluster.BinDir(),
		}, c.env...)
		if !c.root && os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: nobody(t)}
		}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		err := cmd.Run()
		code, want := cmd.ProcessState.ExitCode(), 2
		if c.want == "" {
			want = 0
		}
		if code != want || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("%s: got %v, exit code %d, %s, want %d and %q", c.name, err, code, &stderr, want, c.want)
		}
	}
}

func nobody(t *testing.T) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
