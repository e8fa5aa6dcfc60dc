package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fake makes a folder with programs that say they are of a version.
func fake(t *testing.T, version string, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		script := fmt.Sprintf("#!/bin/sh\necho '%s (PostgreSQL) %s'\n", name, version)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindClient(t *testing.T) {
	dir16, dir18 := fake(t, "16.14", "client"), fake(t, "18beta2 (Debian 18~beta2-1)", "client")
	tests := []struct {
		name, beside, path string
		server             int
		want               string
	}{
		{"the nearest wins", dir18, dir16, 15, dir16},
		{"an older one is no use", dir18, dir16, 17, dir18},
		{"beside the server", dir16, "", 16, dir16},
		{"none is new enough", dir16, dir18, 19, "the newest is of version 18, the server is 19"},
		{"none at all", "", "", 15, "install the clients of PostgreSQL 15"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(EnvClientDir, "")
			t.Setenv("PATH", test.path)
			got, err := FindClient("client", test.beside, test.server)
			if err != nil {
				got = err.Error()
			}
			if got != filepath.Join(test.want, "client") && (err == nil || !strings.Contains(got, test.want)) {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	t.Run("a folder that was named is the only one", func(t *testing.T) {
		t.Setenv(EnvClientDir, dir18)
		t.Setenv("PATH", dir16)
		if got, err := FindClient("client", dir16, 16); err != nil || got != filepath.Join(dir18, "client") {
			t.Errorf("got %s, %v, want %s", got, err, dir18)
		}
	})
}

func noEngine(context.Context) error { return errors.New("no engine") }

func TestFindSource(t *testing.T) {
	dir16 := fake(t, "16.14", "postgres")
	tests := []struct{ name, postgres, binDir, path, want string }{
		{"a folder that was named", "", dir16, "", dir16},
		{"PATH", "binaries", "", dir16, dir16},
		{"a folder without a server", "", t.TempDir(), "", EnvBinDir},
		{"a word nobody knows", "podman", "", "", `is "podman"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(EnvPostgres, test.postgres)
			t.Setenv(EnvBinDir, test.binDir)
			t.Setenv("PATH", test.path)
			got, err := Find(t.Context(), noEngine)
			if err != nil {
				got.Bin = err.Error()
			}
			if !strings.Contains(got.Bin, test.want) || err == nil && got.Major != 16 {
				t.Errorf("got %+v, %v, want %s", got, err, test.want)
			}
		})
	}
}

func TestFindMajor(t *testing.T) {
	dir98 := fake(t, "98.1", "postgres")
	tests := []struct {
		name, postgres, image, path string
		major                       int
		want                        string
	}{
		{"the image of that version", "docker", "", "", 16, "image postgres:16"},
		{"an image that was named", "docker", "our/postgis:9", "", 16, "image our/postgis:9"},
		{"any image", "docker", "", "", 0, "image " + defaultImage},
		{"that version", "binaries", "", dir98, 98, dir98},
		{"the next newer one", "binaries", "", dir98, 97, dir98},
		{"any version", "binaries", "", dir98, 0, dir98},
		{"none is new enough", "binaries", "", dir98, 99, "find PostgreSQL 99 or newer"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(EnvPostgres, test.postgres)
			t.Setenv(EnvImage, test.image)
			t.Setenv(EnvBinDir, "")
			t.Setenv("PATH", test.path)
			found, err := FindMajor(t.Context(), test.major, func(context.Context) error { return nil })
			got := found.String()
			if err != nil {
				got = err.Error()
			}
			if !strings.HasPrefix(got, test.want) {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
