//go:build !linux

package slot

import "syscall"

const canGather = false

func setLowWater(syscall.RawConn, int) error { return nil }
