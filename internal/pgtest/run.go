package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
)

// Run lends the kit to a program that is no test: do may fail, log (to standard
// error) and clean up as a test does. Run returns, with what do failed of, when
// everything is cleaned up. Methods of testing.TB that make sense in a test
// only are not there: they panic.
func Run(ctx context.Context, do func(testing.TB)) error {
	ctx, cancel := context.WithCancel(ctx)
	r := &program{ctx: ctx}
	done := make(chan struct{})
	go func() { // its own goroutine, so that Fatal can end it
		defer close(done)
		defer r.clean()
		defer cancel()
		do(r)
	}()
	<-done
	return r.err
}

// program is a testing.TB outside of tests.
type program struct {
	testing.TB // nil
	ctx        context.Context

	mu       sync.Mutex
	err      error
	cleanups []func()
}

func (r *program) Helper()                  {}
func (r *program) Context() context.Context { return r.ctx }

func (r *program) Cleanup(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, do)
}

// clean runs what was given to Cleanup, the last first, and all of it even if
// one ends the goroutine.
func (r *program) clean() {
	r.mu.Lock()
	last := len(r.cleanups) - 1
	if last < 0 {
		r.mu.Unlock()
		return
	}
	do := r.cleanups[last]
	r.cleanups = r.cleanups[:last]
	r.mu.Unlock()
	defer r.clean()
	do()
}

func (r *program) TempDir() string {
	dir, err := os.MkdirTemp("", "pgtest-files-")
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (r *program) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err != nil
}

func (r *program) fail(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = errors.Join(r.err, errors.New(text))
}

func (r *program) Error(args ...any)            { r.fail(fmt.Sprint(args...)) }
func (r *program) Errorf(f string, args ...any) { r.fail(fmt.Sprintf(f, args...)) }
func (r *program) Log(args ...any)              { fmt.Fprintln(os.Stderr, args...) }
func (r *program) Logf(f string, args ...any)   { fmt.Fprintf(os.Stderr, f+"\n", args...) }

func (r *program) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

func (r *program) Fatalf(f string, args ...any) {
	r.Errorf(f, args...)
	runtime.Goexit()
}
