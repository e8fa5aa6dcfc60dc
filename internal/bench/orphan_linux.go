package main

import "syscall"

// orphanless makes a child end with this process, however this one ends.
func orphanless() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
