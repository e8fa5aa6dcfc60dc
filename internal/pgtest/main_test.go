package pgtest

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv("PGTEST_ORPHAN") != "" {
		orphan()
	}
	Main(m)
}
