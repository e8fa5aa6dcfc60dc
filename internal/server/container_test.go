package server

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakeDocker is a docker program that does not answer to create before it is
// ended, and makes the container nevertheless, as an engine would. It notes in
// the folder what it was told.
const fakeDocker = `#!/bin/sh
cd "${0%/*}"
case $1 in
create)
	echo "$*" >creating
	mv creating created
	while :; do sleep 0.05; done ;;
container) [ -e created ] ;;
rm) echo "$*" >removed ;;
esac
`

// Who is told to end while the engine makes a container leaves none.
func TestContainerInterrupted(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(fakeDocker), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	go func() {
		for range time.Tick(time.Millisecond) {
			if _, err := os.Stat(filepath.Join(dir, "created")); err == nil {
				interrupt()
				return
			}
		}
	}()
	c, err := NewContainer(ctx, "postgres:17", 1, "open sesame", nil)
	if err == nil {
		t.Fatalf("got %+v, want an error", c)
	}
	created, err := os.ReadFile(filepath.Join(dir, "created"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(created), "sesame") {
		t.Errorf("everybody can see the password: docker %s", created)
	}
	removed, err := os.ReadFile(filepath.Join(dir, "removed"))
	if err != nil {
		t.Fatalf("the container was not removed: %v", err)
	}
	if name := strings.Fields(string(created))[2]; !strings.Contains(string(removed), name) {
		t.Errorf("got %s, want %s removed", removed, name)
	}
}
