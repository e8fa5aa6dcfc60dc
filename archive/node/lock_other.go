//go:build !unix

package node

import "os"

// lock opens the file: there is no lock on this system, take care yourself
// that one node serves a folder.
func lock(file string) (*os.File, error) { return os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600) }
