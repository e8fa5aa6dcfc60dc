package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// local runs a server from binaries, in a folder of its own.
type local struct {
	bin    string
	dir    string // data, log, socket
	args   []string
	as     *syscall.Credential // who runs the server, if not we
	reaper io.Closer
	server *exec.Cmd
	ended  chan struct{} // closed when server has ended
}

func newLocal(bin string, port int, settings []string) (*local, error) {
	l, err := newFolder(bin)
	if err != nil {
		return nil, err
	}
	l.args = append([]string{
		"-D", l.data(), "-c", "port=" + strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + l.dir,
	}, settings...)
	initdb := l.command("initdb", "-D", l.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		l.remove(context.Background())
		return nil, fmt.Errorf("run initdb of %s: %w\n%s", bin, err, out)
	}
	return l, nil
}

// newFolder makes a server's folder. It is short, for it holds a socket, and
// not below t.TempDir, which may be closed to the server's user.
func newFolder(bin string) (*local, error) {
	as, err := serverUser()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		return nil, err
	}
	l := &local{bin: bin, dir: dir, as: as}
	if as != nil {
		err = os.Chown(dir, int(as.Uid), int(as.Gid))
	}
	if err == nil {
		l.reaper, err = startReaper(dir)
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return l, nil
}

// serverUser returns whom a server runs as when we are root: it refuses to be.
func serverUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("postgres refuses to run as root: add a user named postgres, or run the tests as another user")
}

func (l *local) data() string   { return filepath.Join(l.dir, "data") }
func (l *local) binDir() string { return l.bin }

// command runs a program of the server in a process group of its own: an
// interrupt from the keyboard is for the test, which then ends the server.
func (l *local) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(l.bin, name), args...)
	cmd.Dir = l.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+l.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: l.as}
	return cmd
}

func (l *local) start(context.Context) error {
	out, err := os.OpenFile(filepath.Join(l.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	server, ended := l.command("postgres", l.args...), make(chan struct{})
	server.Stdout, server.Stderr = out, out
	if err := server.Start(); err != nil {
		return fmt.Errorf("run postgres: %w", err)
	}
	go func() {
		server.Wait() // its log says more than its status
		close(ended)
	}()
	l.server, l.ended = server, ended
	return nil
}

func (l *local) alive() error {
	select {
	case <-l.ended:
		return errors.New("postgres ended")
	default:
		return nil
	}
}

func (l *local) signal(ctx context.Context, sig syscall.Signal) error {
	if l.server == nil {
		return nil
	}
	var gone []int
	if sig == syscall.SIGKILL {
		l.server.Process.Signal(syscall.SIGSTOP) // no new children while we count them
		gone = children(l.server.Process.Pid)
	}
	if err := l.server.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	for _, pid := range gone {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	select {
	case <-l.ended:
	case <-ctx.Done():
		return fmt.Errorf("postgres did not end after %v: %w", sig, ctx.Err())
	}
	for _, pid := range gone {
		if err := waitGone(ctx, pid); err != nil {
			return err
		}
	}
	return nil
}

func (l *local) log(context.Context) string {
	b, _ := os.ReadFile(filepath.Join(l.dir, "log"))
	return string(b)
}

func (l *local) run(context.Context, string, []string) (string, error) {
	return "", errors.ErrUnsupported
}

// remove leaves it to the reaper, so that the way out of a crash is always
// the way out.
func (l *local) remove(ctx context.Context) error {
	err := l.reaper.Close()
	if l.ended != nil {
		select {
		case <-l.ended:
		case <-ctx.Done():
			err = errors.Join(err, ctx.Err())
		}
	}
	return err
}
