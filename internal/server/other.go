//go:build !unix

package server

import (
	"context"
	"errors"
	"os/exec"
	"syscall"
)

// Local is a server run from binaries: not on this system.
type Local struct{ Dir string }

func NewLocal(Source, int, []string) (*Local, error) {
	return nil, errors.New("run postgres from binaries: not on this system, start a Docker engine")
}

func (l *Local) BinDir() string                               { return "" }
func (l *Local) Start(context.Context) error                  { return errors.ErrUnsupported }
func (l *Local) Alive() error                                 { return errors.ErrUnsupported }
func (l *Local) Signal(context.Context, syscall.Signal) error { return errors.ErrUnsupported }
func (l *Local) Log(context.Context) string                   { return "" }
func (l *Local) Remove(context.Context) error                 { return nil }

// Apart: only containers run on this system.
func (s Source) Apart() (Source, error) { return s, nil }

// CanRead: containers see no file of this machine.
func (s Source) CanRead(string) (bool, error) { return false, nil }

// Reaper needs a shell: not on this system.
type Reaper struct{}

func StartReaper(string, ...string) (*Reaper, error) {
	return nil, errors.New("start the reaper: not on this system")
}

func (r *Reaper) Adopt(*exec.Cmd) {}
func (r *Reaper) Close() error    { return nil }
