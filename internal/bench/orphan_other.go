//go:build !linux

package main

import "syscall"

func orphanless() *syscall.SysProcAttr { return nil }
