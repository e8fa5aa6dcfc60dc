//go:build unix

package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Local is a server run from binaries, in a folder of its own. Methods may be
// called concurrently but for those that start, stop or copy.
type Local struct {
	Dir    string // data, log, socket
	bin    string
	port   int
	args   []string
	as     *syscall.Credential // who runs the server, if not we
	reaper *Reaper
	server *exec.Cmd
	ended  chan struct{} // closed when server has ended
}

// NewLocal makes the folder and the data of a server of the source's binaries. It
// is not started. With no password it trusts everybody on this machine. settings
// are arguments of the server: -c name=value.
func NewLocal(from Source, port int, settings []string) (*Local, error) {
	as, err := credential(from.User)
	if err != nil {
		return nil, err
	}
	l, err := newFolder(from.Bin, as)
	if err != nil {
		return nil, err
	}
	l.port = port
	l.args = append([]string{
		"-D", l.Data(), "-c", "port=" + strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + l.Dir,
	}, settings...)
	if err := l.initdb(from.Password); err != nil {
		return nil, errors.Join(err, l.Remove(context.Background()))
	}
	return l, nil
}

func (l *Local) initdb(password string) error {
	args := []string{"-D", l.Data(), "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync", "-A", "trust"}
	if password != "" {
		file := filepath.Join(l.Dir, "password")
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			return err
		}
		defer os.Remove(file)
		if l.as != nil {
			if err := os.Chown(file, int(l.as.Uid), int(l.as.Gid)); err != nil {
				return err
			}
		}
		args = append(args[:len(args)-1], "scram-sha-256", "--pwfile="+file)
	}
	if out, err := l.command("initdb", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("run initdb of %s: %w\n%s", l.bin, err, out)
	}
	return nil
}

// newFolder makes a server's folder. It is short, for it holds a socket, and
// in no folder that may be closed to the server's user.
func newFolder(bin string, as *syscall.Credential) (*Local, error) {
	dir, err := os.MkdirTemp("", "pgbridge-server-")
	if err != nil {
		return nil, err
	}
	l := &Local{bin: bin, Dir: dir, as: as}
	if as != nil {
		err = os.Chown(dir, int(as.Uid), int(as.Gid))
	}
	if err == nil {
		l.reaper, err = StartReaper(reapFolder, dir)
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return l, nil
}

// Data is the server's data folder.
func (l *Local) Data() string { return filepath.Join(l.Dir, "data") }

// BinDir is the folder of the server's programs.
func (l *Local) BinDir() string { return l.bin }

// command runs a program of the server in a session of its own. An interrupt from
// the keyboard is for us, who then end the server; and what runs in the server
// cannot type into our terminal.
func (l *Local) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(l.bin, name), args...)
	cmd.Dir = l.Dir
	cmd.Env = environment(l.Dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: l.as}
	return cmd
}

// Start returns when the server is launched, not when it is ready.
func (l *Local) Start(context.Context) error {
	out, err := os.OpenFile(l.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
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
		_ = server.Wait() // its log says more than its status
		close(ended)
	}()
	l.server, l.ended = server, ended
	return nil
}

// Alive returns an error if the server has ended by itself.
func (l *Local) Alive() error {
	select {
	case <-l.ended:
		return errors.New("postgres ended")
	default:
		return nil
	}
}

// Signal returns when the server and its children are gone. SIGINT is a
// shutdown with a checkpoint, SIGKILL is for all of them.
func (l *Local) Signal(ctx context.Context, sig syscall.Signal) error {
	if l.server == nil {
		return nil
	}
	var gone []int
	if sig == syscall.SIGKILL {
		_ = l.server.Process.Signal(syscall.SIGSTOP) // no new children while we count them
		gone = children(l.server.Process.Pid)
	}
	if err := l.server.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	for _, pid := range gone {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone already
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

func (l *Local) logFile() string { return filepath.Join(l.Dir, "log") }

// Log is what the server has said.
func (l *Local) Log(context.Context) string {
	b, _ := os.ReadFile(l.logFile())
	return string(b)
}

// Clone is a copy of a server that is stopped, on another port. It is not
// started.
func (l *Local) Clone(port int) (*Local, error) {
	to, err := newFolder(l.bin, l.as)
	if err != nil {
		return nil, err
	}
	if out, err := exec.Command("cp", "-a", l.Data(), to.Dir).CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("copy %s: %w\n%s", l.Data(), err, out), to.Remove(context.Background()))
	}
	to.port = port
	for _, arg := range l.args {
		arg = strings.ReplaceAll(arg, l.Dir, to.Dir)
		to.args = append(to.args, strings.ReplaceAll(arg, "port="+strconv.Itoa(l.port), "port="+strconv.Itoa(port)))
	}
	return to, nil
}

// Remove ends the server, if it runs, and deletes its folder. It leaves both to
// the reaper, so that the way out of a crash is always the way out.
func (l *Local) Remove(ctx context.Context) error {
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
