package main

import (
	"context"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){
		"pgbridge": func() { os.Exit(run(context.Background(), os.Args[1:])) },
	})
}

// suite stops the shared server once the scripts are through.
type suite struct{ m *testing.M }

func (s suite) Run() int { return pgtest.Suite{M: s.m}.Run() }

// Each script is a user at the command line: what is typed, what is printed,
// and the exit code. $DB is an empty database, $SECRET the password in it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			db := pgtest.New(t)
			env.Setenv("DB", db.URL())
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits runs pgbridge and wants an exit code: exits CODE ARG...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE ARG...")
	}
	err := ts.Exec("pgbridge", args[1:]...)
	got := "0"
	if err != nil {
		got = codeOf(err)
	}
	if got != args[0] {
		ts.Fatalf("pgbridge %v: exit code %s, want %s", args[1:], got, args[0])
	}
}
