package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// demoPlace is the folder of the demo, and those of its servers, or their
// containers.
var demoPlace = regexp.MustCompile(`/\S+/pgbridge-(?:demo|server)-[0-9a-z]+|container \S+[0-9a-z]`)

// gone waits until nothing is left of a demo: no folder, no process that works
// in one, no container.
func gone(t *testing.T, said string) {
	t.Helper()
	places := demoPlace.FindAllString(said, -1)
	if len(places) == 0 {
		t.Fatalf("the demo named no folder and no container:\n%s", said)
	}
	eventually(t, "nothing is left of the demo", func() error {
		for _, dir := range places {
			if name, ok := strings.CutPrefix(dir, "container "); ok {
				if exec.Command("docker", "inspect", name).Run() == nil {
					return fmt.Errorf("%s is still there", dir)
				}
				continue
			}
			if _, err := os.Stat(dir); err == nil {
				return fmt.Errorf("%s is still there", dir)
			}
			links, _ := filepath.Glob("/proc/[0-9]*/cwd")
			for _, link := range links {
				if cwd, _ := os.Readlink(link); strings.HasPrefix(cwd, dir) {
					return fmt.Errorf("%s works in %s", link, dir)
				}
			}
		}
		return nil
	})
}

func TestDemo(t *testing.T) {
	kept := filepath.Join(t.TempDir(), "kept")
	stdout, stderr, code := (&site{}).try(t, "demo", "--seconds", "2", "--scale", "1", "--keep", kept, "--json")
	if code != 0 {
		t.Fatalf("demo: exit code %d\n%s%s", code, stderr, stdout)
	}
	var report struct {
		DB, Postgres string
		Equal        bool
		Records      uint64
		Bytes        int64
		Load         struct{ Transactions int64 }
		Tables       []struct {
			Table, Source, Restored string
			Rows                    int64
			Equal                   bool
		}
		Seconds map[string]float64
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatalf("demo --json: %v: %s", err, stdout)
	}
	rows := map[string]int64{}
	for _, table := range report.Tables {
		rows[table.Table] = table.Rows
	}
	if !report.Equal || len(report.Tables) != 7 || rows["public.pgbench_accounts"] != 100000 || rows["public.pgbench_history"] == 0 ||
		rows["board.message"] < 1000 || report.Load.Transactions == 0 || report.Records < 4 || report.Bytes == 0 || report.Seconds["restore"] <= 0 {
		t.Errorf("demo: got %s", stdout)
	}
	for _, want := range []string{"$ pgbridge init --name demo", "$ pgbridge restore --db-id " + report.DB, "gone: "} {
		if !strings.Contains(stderr, want) {
			t.Errorf("demo: got\n%s\nwant %q in it", stderr, want)
		}
	}
	gone(t, strings.ReplaceAll(stderr, kept, "kept"))

	archive := &site{env: []string{"PGBRIDGE_ARCHIVE=dir://" + filepath.Join(kept, "archive")}}
	if got := archive.pgbridge(t, "log", "--db-id", report.DB, "--limit", "5"); strings.Count(got, "\n") != 5 {
		t.Errorf("log of the archive that was kept: got %s", got)
	}
	if _, stderr, code := (&site{}).try(t, "demo", "--keep", kept); code != 2 || !strings.Contains(stderr, "exists") {
		t.Errorf("demo into a folder that is there: got exit code %d, %s", code, stderr)
	}
}

func TestDemoInterrupted(t *testing.T) {
	for _, test := range []struct {
		name   string
		signal syscall.Signal
		code   int
	}{
		{"Ctrl-C", syscall.SIGINT, 0},
		{"kill -9", syscall.SIGKILL, -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := (&site{}).start(t, "demo", "--seconds", "600", "--scale", "1")
			eventually(t, "load", func() error {
				if !strings.Contains(p.String(), "tx/s") {
					return errors.New(p.String())
				}
				return nil
			})
			if err := p.cmd.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			if code := p.wait(t); code != test.code {
				t.Errorf("got exit code %d, want %d:\n%s", code, test.code, p)
			}
			gone(t, p.String())
		})
	}
}
