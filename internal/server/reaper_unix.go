//go:build unix

package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// reapFolder ends the server of folder $1 and removes the folder. A pid file
// that a killed server left behind may name somebody else's process by now,
// hence the look at its working directory.
const reapFolder = `
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
case $pid in *[!0-9]*) pid= ;; esac
[ -d "/proc/$$" ] && [ "$(readlink "/proc/$pid/cwd")" != "$1/data" ] && pid=
if [ -n "$pid" ]; then
	kill -QUIT "$pid"
	n=0
	while kill -0 "$pid" && [ $n -lt 100 ]; do sleep 0.05; n=$((n + 1)); done
	kill -KILL "$pid"
fi
rm -rf "$1"
`

// Reaper is a small process that outlives this one: it holds the reading end
// of a pipe that closes when this process ends, however it ends. Then it ends
// the processes in its group and runs a script. A signal to end, as a service
// manager sends to all processes of a service, does not end it before that.
type Reaper struct {
	cmd  *exec.Cmd
	hold io.Closer
}

// StartReaper starts a process that will run the shell script.
func StartReaper(script string, args ...string) (*Reaper, error) {
	const wait = "trap '' HUP INT TERM\ncat >/dev/null\nkill -TERM 0\n"
	cmd := exec.Command("/bin/sh", append([]string{"-c", wait + script, "pgbridge-reaper"}, args...)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	hold, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the reaper: %w", err)
	}
	return &Reaper{cmd: cmd, hold: hold}, nil
}

// Adopt puts cmd, which is not started yet, into the reaper's group: it ends
// with us, and an interrupt from the keyboard does not reach it.
func (r *Reaper) Adopt(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: r.cmd.Process.Pid}
}

// Close makes the reaper do its work and waits for it.
func (r *Reaper) Close() error {
	if err := r.hold.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return r.cmd.Wait()
}

// children returns the child processes of pid, where /proc tells.
func children(pid int) []int {
	var pids []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		if _, parent := procStat(name); parent == pid {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			pids = append(pids, child)
		}
	}
	return pids
}

// procStat reads state and parent: the two fields after the name in brackets.
func procStat(name string) (state string, parent int) {
	b, _ := os.ReadFile(name)
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 2 {
		return "", 0
	}
	parent, _ = strconv.Atoi(fields[1])
	return fields[0], parent
}

func waitGone(ctx context.Context, pid int) error {
	for {
		if state, _ := procStat(fmt.Sprintf("/proc/%d/stat", pid)); state == "" || state == "Z" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("postgres process %d did not end: %w", pid, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}
