package main

import "syscall"

// apart makes a child end with this process, however this one ends, and gives it a
// session of its own, as a service manager would: the kernel may share the
// processors out among sessions (sched_autogroup), and every backend of a server is
// one.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
}
