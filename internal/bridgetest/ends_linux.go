package bridgetest

import "syscall"

// endsWithThis makes a child end with this process, however this one ends.
func endsWithThis() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
