package bridgetest

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a running program. Exited is closed when it has ended; how it ended is
// in Cmd.ProcessState then.
type Process struct {
	Cmd    *exec.Cmd
	Exited chan struct{}
	mu     sync.Mutex
	log    bytes.Buffer
}

// Write takes what the program prints.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

// String returns what the program has printed.
func (p *Process) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// Start runs the program until the test ends or it is stopped. The test fails if
// the race detector finds anything in it.
func (s *Site) Start(t testing.TB, args ...string) *Process {
	t.Helper()
	p := &Process{Cmd: exec.Command(binary, args...), Exited: make(chan struct{})}
	p.Cmd.Env = append(os.Environ(), s.Env...)
	p.Cmd.Stdout, p.Cmd.Stderr = p, p
	p.Cmd.SysProcAttr = endsWithThis()
	if err := p.Cmd.Start(); err != nil {
		t.Fatalf("start pgbridge %s: %v", strings.Join(args, " "), err)
	}
	go func() {
		_ = p.Cmd.Wait() // how it ended is in ProcessState
		close(p.Exited)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("pgbridge %s:\n%s", strings.Join(args, " "), p)
		}
		if strings.Contains(p.String(), "DATA RACE") {
			t.Errorf("data race in pgbridge %s:\n%s", strings.Join(args, " "), p)
		}
	})
	return p
}

// Kill is kill -9.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill() // it may be gone already
	<-p.Exited
}

// Stop asks the program to end, and returns its exit code.
func (p *Process) Stop(t testing.TB) int {
	t.Helper()
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("stop pgbridge: %v", err)
	}
	return p.Wait(t)
}

// Wait waits, for a minute, for the program to end by itself, and returns its exit
// code.
func (p *Process) Wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.Exited:
		return p.Cmd.ProcessState.ExitCode()
	case <-time.After(time.Minute):
		t.Fatalf("pgbridge did not end:\n%s", p)
		return 0
	}
}
