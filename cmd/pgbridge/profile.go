//go:build profile

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

// A build with -tags profile writes a CPU profile to the file that
// PGBRIDGE_CPUPROFILE names. It does what main does, before main.
func init() {
	path := os.Getenv("PGBRIDGE_CPUPROFILE")
	if path == "" {
		return
	}
	file, err := os.Create(path)
	if err == nil {
		err = pprof.StartCPUProfile(file)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pgbridge: profile:", err)
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	code := run(ctx, os.Args[1:])
	pprof.StopCPUProfile()
	if err := file.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "pgbridge: profile:", err)
	}
	os.Exit(code)
}
