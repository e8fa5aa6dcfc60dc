package slot

import "syscall"

const canGather = true

// setLowWater sets how many bytes must have arrived before a reader is woken.
func setLowWater(conn syscall.RawConn, bytes int) error {
	var failed error
	err := conn.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, bytes)
	})
	if err != nil {
		return err
	}
	return failed
}
