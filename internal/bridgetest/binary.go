package bridgetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// binary is the program under test, built by Main.
var binary string

// Binary returns the path of the program under test.
func Binary() string { return binary }

// Main builds the program, with the race detector if the tests have it, runs the tests of
// a package, and returns the exit code of the run.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pgbridge-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a folder for the program:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "pgbridge")
	build := exec.Command("go", slices.Concat([]string{"build", "-o", binary}, race, []string{"github.com/pgbridge/pgbridge/cmd/pgbridge"})...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build pgbridge: %v\n%s", err, out)
		return 1
	}
	return pgtest.Suite{M: m}.Run()
}
