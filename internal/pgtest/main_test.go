package pgtest

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("PGTEST_ORPHAN"); dir != "" {
		orphan(dir)
	}
	Main(m)
}
