// Command bench measures pgbridge beside what Postgres itself offers for the
// same work, on the same servers, in one run: each round measures both, one
// after the other, and the ratio of a round is what counts, because machines
// are shared and differ. It starts servers of its own (see internal/pgtest),
// builds pgbridge and runs it as users do, checks after every measurement that
// the data arrived unharmed, and leaves nothing behind.
//
//	go run ./internal/bench                       all rows, three rounds
//	go run ./internal/bench -only capture-w2 -scale 0.1
//
// It exits with 1 if a row misses its floor.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ok, err := run(ctx, os.Args[1:])
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	case !ok:
		os.Exit(1)
	}
}

// bench is one run of the program.
type bench struct {
	scale    float64
	rounds   int
	profiles string // folder for CPU profiles of pgbridge, or ""
	binary   string

	row   string // under way
	round int
}

func run(ctx context.Context, args []string) (ok bool, err error) {
	b := &bench{}
	var only string
	var asJSON bool
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&only, "only", "", "measure these `rows` only, comma separated: "+strings.Join(rowNames(), ", "))
	flags.Float64Var(&b.scale, "scale", 1, "`factor` for the size of everything; the floors are meant for 1")
	flags.IntVar(&b.rounds, "rounds", 3, "`number` of rounds")
	flags.StringVar(&b.profiles, "profile", "", "write CPU profiles of the pgbridge processes into this `folder`")
	flags.StringVar(&b.binary, "binary", "", "measure this pgbridge `file` instead of building one; for -profile it must be built with -tags profile")
	flags.BoolVar(&asJSON, "json", false, "print the results, with every measurement, as JSON")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	chosen, err := chooseRows(only)
	if err == nil && (b.rounds < 1 || b.scale <= 0 || flags.NArg() > 0) {
		err = errors.New("want -rounds of at least 1, a positive -scale, and no arguments")
	}
	if err != nil {
		return false, err
	}
	// The servers' processes are looked at, and copied: no containers.
	if err := os.Setenv("PGBRIDGE_SERVER", "binaries"); err != nil {
		return false, err
	}
	report := newReport(b)
	err = pgtest.Run(ctx, func(t testing.TB) {
		b.build(t)
		for _, g := range groups {
			b.measure(t, g, chosen, report)
		}
	})
	if len(report.Results) == 0 {
		return false, err
	}
	report.end() // what there is, also after a failure
	if asJSON {
		return report.pass(), errors.Join(err, report.writeJSON(os.Stdout))
	}
	return report.pass(), errors.Join(err, report.write(os.Stdout))
}

// build builds pgbridge as users have it, or with the profiler in it.
func (b *bench) build(t testing.TB) {
	if b.profiles != "" {
		if err := os.MkdirAll(b.profiles, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if b.binary != "" {
		return
	}
	b.binary = filepath.Join(t.TempDir(), "pgbridge")
	args := []string{"build", "-o", b.binary}
	if b.profiles != "" {
		args = append(args, "-tags", "profile")
	}
	build := exec.CommandContext(t.Context(), "go", append(args, "github.com/pgbridge/pgbridge/cmd/pgbridge")...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build pgbridge: %v\n%s", err, out)
	}
}

// measure measures the chosen rows of one group.
func (b *bench) measure(t testing.TB, g group, chosen map[string]bool, report *report) {
	wanted := false
	for _, r := range g.rows {
		wanted = wanted || chosen[r.name]
	}
	if !wanted {
		return
	}
	scope(t, func(t testing.TB) {
		b.say("%s: preparing", g.work.name)
		s := b.prepare(t, g.work)
		report.Postgres = s.a.Value(t, "SHOW server_version")
		s.freeze(t)
		for _, r := range g.rows {
			if chosen[r.name] {
				b.row = r.name
				report.add(r.run(b, t, s, r))
			}
		}
	})
}

// scope runs do and cleans up what it started. What fails in it fails t.
func scope(t testing.TB, do func(testing.TB)) {
	t.Helper()
	if err := pgtest.Run(t.Context(), do); err != nil {
		t.Fatal(err)
	}
}

// say tells on standard error what is under way.
func (b *bench) say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
