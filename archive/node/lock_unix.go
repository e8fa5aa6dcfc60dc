//go:build unix

package node

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock makes sure that one node serves a folder. The lock ends with the file's
// closing, or with the process.
func lock(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close() // the first error is the one to tell
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.New("another node serves this folder: stop it first")
		}
		return nil, fmt.Errorf("lock %s: %w", file, err)
	}
	return f, nil
}
