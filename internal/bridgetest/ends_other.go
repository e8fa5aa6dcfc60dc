//go:build !linux

package bridgetest

import "syscall"

func endsWithThis() *syscall.SysProcAttr { return nil }
