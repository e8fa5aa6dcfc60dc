package pgtest

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestRunCleansUpAfterFailure(t *testing.T) {
	t.Parallel()
	var order []string
	var dir string
	err := Run(t.Context(), func(p testing.TB) {
		dir = p.TempDir()
		p.Cleanup(func() { order = append(order, "first") })
		p.Cleanup(func() { order = append(order, "second"); p.Fatal("in cleanup") })
		p.Cleanup(func() { order = append(order, p.Context().Err().Error()) })
		p.Errorf("one %d", 1)
		p.Fatalf("two %d", 2)
		t.Error("Fatalf returned")
	})
	if err == nil || err.Error() != "one 1\ntwo 2\nin cleanup" {
		t.Errorf("error: got %v", err)
	}
	if got, want := strings.Join(order, ", "), "context canceled, second, first"; got != want {
		t.Errorf("order of cleanups: got %s, want %s", got, want)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("temporary folder: got %v, want it gone", err)
	}
}

func TestRunWithoutFailure(t *testing.T) {
	t.Parallel()
	var got string
	err := Run(t.Context(), func(p testing.TB) {
		got = Start(p, Config{NoSync: true}).Database(p).Value(p, `SELECT 'here'`)
	})
	if err != nil || got != "here" {
		t.Errorf("got %q, %v", got, err)
	}
}
