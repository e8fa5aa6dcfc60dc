//go:build unix

package server

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
)

// environment is all that the programs of a server in folder dir get of ours: how
// they are found and loaded. Code in the server can read it.
func environment(dir string) []string {
	env := []string{"LC_ALL=C", "HOME=" + dir}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// credential is of the user of that name as whom root runs a server, for it
// refuses to be root. With no name: postgres, else nobody. nil is who we are.
func credential(name string) (*syscall.Credential, error) {
	names := []string{name}
	switch {
	case os.Geteuid() != 0 && name != "":
		return nil, fmt.Errorf("run postgres as %s: only root can", name)
	case os.Geteuid() != 0:
		return nil, nil
	case name == "":
		names = []string{"postgres", "nobody"}
	}
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		if uid == 0 {
			return nil, fmt.Errorf("postgres refuses to run as %s: name another user in %s", name, EnvUser)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("postgres refuses to run as root, and this machine has no user %s: name another one in %s", names[len(names)-1], EnvUser)
}

// Apart makes the source one for servers that run what others wrote: code in them
// has other rights than this process. They run in containers, or as the user whom
// PGBRIDGE_SERVER_USER names, by default nobody. Then code in a server can read
// neither the environment, the memory nor the open files of this process, and of
// the files of this machine what that user can: see CanRead.
//
// From then on this process passes on no file that was open when it began.
//
// It returns ErrSameUser where servers would run as the user of this process. The
// user postgres is refused: the server of a package trusts it as its superuser.
func (s Source) Apart() (Source, error) {
	if s.Image != "" {
		return s, nil
	}
	if os.Geteuid() != 0 || runtime.GOOS != "linux" { // elsewhere the reaper trusts a file of the server
		return s, ErrSameUser
	}
	if s.User = os.Getenv(EnvUser); s.User == "" {
		s.User = "nobody"
	}
	as, err := credential(s.User)
	if err != nil {
		return s, err
	}
	owner, err := user.Lookup("postgres")
	if err == nil && owner.Uid == strconv.FormatUint(uint64(as.Uid), 10) {
		return s, fmt.Errorf("%s is %s, whom a server on this machine may trust as its superuser: name another user", EnvUser, s.User)
	}
	return s, keepFiles()
}

// keepFiles makes the open files of this process its own. Go does so with those that
// it opens, not with those that this process was given.
func keepFiles() error {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, file := range open {
		if fd, err := strconv.Atoi(file.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}

// CanRead tells whether code in a server of this source can read a file of this
// machine.
func (s Source) CanRead(file string) (bool, error) {
	if s.Image != "" {
		return false, nil
	}
	file, err := filepath.Abs(file)
	if err != nil {
		return false, err
	}
	as, err := credential(s.User)
	if err != nil {
		return false, err
	}
	cmd := exec.Command("/bin/sh", "-c", `test -r "$1"`, "sh", file)
	cmd.Dir, cmd.Env = "/", environment("/")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: as}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return false, nil
	}
	return err == nil, err
}
