package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// service is a pgbridge in the background.
type service struct {
	name  string
	cmd   *exec.Cmd
	log   string // file
	ended chan struct{}
}

// command is one command line, shown before it runs.
func (s *stage) command(ctx context.Context, shown, suffix string, argv []string) *exec.Cmd {
	fmt.Fprintf(s.story, "   $ %s%s\n", shown, suffix)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = s.dir, s.env
	s.reaper.Adopt(cmd)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// pgbridge runs one command to its end, and returns what it printed.
func (s *stage) pgbridge(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := s.command(ctx, "pgbridge "+shellWords(args), "", append([]string{s.exe}, args...))
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", s.failed(ctx, "pgbridge "+args[0], err, "")
	}
	for line := range strings.Lines(out.String()) {
		s.note("%s", strings.TrimSuffix(line, "\n"))
	}
	return out.String(), nil
}

// service runs one command until it ends or the stage closes.
func (s *stage) service(ctx context.Context, name string, args ...string) error {
	v := &service{name: name, log: filepath.Join(s.dir, name+".log"), ended: make(chan struct{})}
	out, err := os.Create(v.log)
	if err != nil {
		return err
	}
	defer out.Close()
	// Not with ctx: services end in stopServices, in order.
	v.cmd = s.command(context.WithoutCancel(ctx), "pgbridge "+shellWords(args), " &", append([]string{s.exe}, args...))
	v.cmd.Stdout, v.cmd.Stderr = out, out
	if err := v.cmd.Start(); err != nil {
		return fmt.Errorf("start pgbridge %s: %w", args[0], err)
	}
	go func() {
		_ = v.cmd.Wait() // how it ended is in its log
		close(v.ended)
	}()
	s.services = append(s.services, v)
	return nil
}

func (v *service) text() string {
	text, _ := os.ReadFile(v.log)
	return string(text)
}

// serving is how a node says where it listens.
var serving = regexp.MustCompile(`msg=serving .*address=(\S+)`)

func (s *stage) startNode(ctx context.Context) error {
	if err := s.service(ctx, "node", "archive", "serve", "--dir", "archive", "--listen", "127.0.0.1:0"); err != nil {
		return err
	}
	node := s.services[len(s.services)-1]
	return s.await(ctx, "the node to serve", func(context.Context) (bool, error) {
		found := serving.FindStringSubmatch(node.text())
		if found != nil {
			s.archive = "http://" + found[1]
		}
		return found != nil, nil
	})
}

// stop ends services, the youngest first.
func (s *stage) stop(ctx context.Context, services []*service) error {
	var errs []error
	for _, v := range slices.Backward(services) {
		_ = v.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		if err := v.wait(ctx); err != nil {
			errs = append(errs, err, v.cmd.Process.Kill())
		}
	}
	return errors.Join(errs...)
}

// wait waits for the service to end.
func (v *service) wait(ctx context.Context) error {
	select {
	case <-v.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("pgbridge %s does not end: %w", v.name, ctx.Err())
	}
}

// await waits until ready says so. A service that ends meanwhile is an error.
func (s *stage) await(ctx context.Context, what string, ready func(context.Context) (bool, error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := ready(ctx); ok || err != nil {
			return err
		}
		for _, v := range s.services {
			select {
			case <-v.ended:
				return s.failed(ctx, "pgbridge "+v.name, errors.New("it ended while "+what+" was waited for"), v.text())
			default:
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// failed is the error of a program, with the end of what it said.
func (s *stage) failed(ctx context.Context, what string, err error, said string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	const most = 2000
	said = strings.TrimSpace(said)
	if len(said) > most {
		said = "…" + said[len(said)-most:]
	}
	if said != "" {
		return fmt.Errorf("%s: %w\n%s", what, err, said)
	}
	return fmt.Errorf("%s: %w", what, err)
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// shellWords writes arguments as they would be typed.
func shellWords(args []string) string {
	words := slices.Clone(args)
	for i, w := range words {
		if !plainWord.MatchString(w) {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}
