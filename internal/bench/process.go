package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a running pgbridge.
type process struct {
	role   string
	cmd    *exec.Cmd
	exited chan struct{}

	mu  sync.Mutex
	log bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// tail is the end of what the process said.
func (p *process) tail() string {
	text := p.output()
	return text[max(0, len(text)-4000):]
}

// start starts pgbridge; it is stopped at the end of t, if not before.
func (b *bench) start(t testing.TB, role string, env []string, args ...string) *process {
	t.Helper()
	p := &process{role: role, cmd: exec.Command(b.binary, args...), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	if b.profiles != "" && b.row != "" {
		name := fmt.Sprintf("%s-%s-%d.pprof", b.row, role, b.round)
		p.cmd.Env = append(p.cmd.Env, "PGBRIDGE_CPUPROFILE="+filepath.Join(b.profiles, name))
	}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.SysProcAttr = apart()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", role, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		close(p.exited)
	}()
	t.Cleanup(func() { p.stop(t) })
	return p
}

func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// stop ends the process as an operator would, and kills it if that takes long.
func (p *process) stop(t testing.TB) {
	t.Helper()
	if p.ended() {
		return
	}
	err := p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(30 * time.Second):
		t.Errorf("%s did not end: %v\n%s", p.role, errors.Join(err, p.cmd.Process.Kill()), p.tail())
		<-p.exited
	}
}

// finish waits for a process that ends by itself.
func (p *process) finish(t testing.TB) {
	t.Helper()
	select {
	case <-p.exited:
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("%s: exit code %d\n%s", p.role, code, p.tail())
	}
}

// pgbridge runs a command of pgbridge to its end and returns what it printed.
func (b *bench) pgbridge(t testing.TB, env []string, args ...string) string {
	t.Helper()
	out, err := b.try(t, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (b *bench) try(t testing.TB, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(t.Context(), b.binary, args...)
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("pgbridge %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(stdout.String()), nil
}

// serving is how a node says where it listens.
var serving = regexp.MustCompile(`msg=serving .*address=(\S+)`)

// startNode serves dir and returns where.
func (b *bench) startNode(t testing.TB, dir string) (p *process, url string) {
	t.Helper()
	p = b.start(t, "node", nil, "archive", "serve", "--dir", dir, "--listen", "127.0.0.1:0")
	until(t, 5*time.Millisecond, "the node", []*process{p}, func() bool {
		found := serving.FindStringSubmatch(p.output())
		if found != nil {
			url = "http://" + found[1]
		}
		return found != nil
	})
	return p, url
}
