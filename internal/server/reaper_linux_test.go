package server

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// What a service manager sends to every process of a service does not keep the
// reaper from its work.
func TestReaperSignalled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "done")
	r, err := StartReaper(`touch "$1"`, file)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); len(children(r.cmd.Process.Pid)) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the reaper does not wait")
		}
	}
	if err := syscall.Kill(-r.cmd.Process.Pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("it did not work: %v", err)
	}
}
