// Command pgbridge turns a Postgres database into a signed, permanent stream of
// actions, and that stream back into a database.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// memory is what the garbage collector keeps the process under as long as what is
// in use fits, whatever passes through it. GOMEMLIMIT says otherwise.
const memory = 160 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memory)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

// run executes one command line and returns the exit code. What ends a command
// is said once, here.
func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
	case interrupted(ctx, err):
		fmt.Fprintln(os.Stderr, "pgbridge: interrupted")
	default:
		fmt.Fprintf(os.Stderr, "pgbridge: %v\n", err)
	}
	return exitCode(err)
}
