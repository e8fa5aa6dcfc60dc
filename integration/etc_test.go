package integration

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pgbridge/pgbridge/internal/bridgetest"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// knows fails the test if the program has no such command or flag.
func knows(t *testing.T, where string, args []string) {
	t.Helper()
	words := args
	if i := slices.IndexFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "-") }); i >= 0 {
		words = args[:i]
	}
	command := strings.Join(words, " ")
	stdout, stderr, code := (&site{}).try(t, append(slices.Clone(words), "--help")...)
	if code != 0 || !strings.Contains(stdout, "Usage:\n  pgbridge "+command) {
		t.Errorf("%s: there is no pgbridge %s: exit code %d, %s", where, command, code, stderr)
	}
	for _, arg := range args {
		if flag, _, _ := strings.Cut(arg, "="); strings.HasPrefix(flag, "--") && !regexp.MustCompile(` `+flag+`\b`).MatchString(stdout) {
			t.Errorf("%s: pgbridge %s has no flag %s", where, command, flag)
		}
	}
}

// knowsEnvironment fails the test if the program reads no such variable.
func knowsEnvironment(t *testing.T, where, name string) {
	t.Helper()
	stdout, _, _ := (&site{}).try(t, "--help")
	if strings.HasPrefix(name, "PGBRIDGE_") && !regexp.MustCompile(name+`\b`).MatchString(stdout) {
		t.Errorf("%s: pgbridge reads no %s", where, name)
	}
}

func TestUnits(t *testing.T) {
	for _, name := range []string{"pgbridge.service", "pgbridge-archive.service"} {
		text, err := os.ReadFile("../etc/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"Type=notify", "Restart=on-failure", "RestartPreventExitStatus=2 3", "DynamicUser=yes"} {
			if !strings.Contains(string(text), "\n"+want+"\n") {
				t.Errorf("%s: got no %s", name, want)
			}
		}
		start := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/pgbridge (.*)$`).FindSubmatch(text)
		if start == nil {
			t.Fatalf("%s starts no pgbridge", name)
		}
		knows(t, name, strings.Fields(string(start[1])))
		for _, v := range regexp.MustCompile(`(?m)^Environment=(\w+)=`).FindAllSubmatch(text, -1) {
			knowsEnvironment(t, name, string(v[1]))
		}
		verifyUnit(t, name, text)
	}
}

// The drill runs by itself, once in a while.
func TestDrillUnits(t *testing.T) {
	units := map[string][]string{
		"pgbridge-drill.service": {"Type=oneshot", "DynamicUser=yes", "TimeoutStartSec=infinity"},
		"pgbridge-drill.timer":   {"Persistent=yes", "WantedBy=timers.target"},
	}
	for name, lines := range units {
		text, err := os.ReadFile("../etc/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range lines {
			if !strings.Contains(string(text), "\n"+want+"\n") {
				t.Errorf("%s: got no %s", name, want)
			}
		}
		start := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/pgbridge (.*)$`).FindSubmatch(text)
		if start != nil {
			knows(t, name, strings.Fields(string(start[1])))
		} else if strings.HasSuffix(name, ".service") {
			t.Errorf("%s starts no pgbridge", name)
		}
		if strings.HasSuffix(name, ".service") {
			verifyUnit(t, name, text) // a timer is verified with its service
		}
	}
}

// verifyUnit asks systemd, where there is one.
func verifyUnit(t *testing.T, name string, text []byte) {
	t.Helper()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("this machine has no systemd-analyze: the units' syntax was not verified")
		return
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, bytes.ReplaceAll(text, []byte("/usr/local/bin/pgbridge"), []byte(bridgetest.Binary())), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify %s: %v\n%s", name, err, out)
	}
}

// A service says READY=1 when it is at work, which Type=notify waits for.
func TestNotifiesSystemd(t *testing.T) {
	dir := t.TempDir()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	ready := func(what string, s *site, args ...string) {
		t.Helper()
		under := &site{db: s.db, env: append([]string{"NOTIFY_SOCKET=" + filepath.Join(dir, "notify")}, s.env...)}
		p := under.start(t, args...)
		if err := socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		message := make([]byte, 100)
		n, err := socket.Read(message)
		if err != nil || string(message[:n]) != "READY=1" {
			t.Errorf("%s: got %q, %v, want READY=1\n%s", what, message[:n], err, p)
		}
	}
	ready("node", &site{}, "archive", "serve", "--dir", t.TempDir(), "--listen", "127.0.0.1:0")
	archive := "dir://" + t.TempDir()
	writer, id := board(t, archive)
	ready("writer", writer, "run")
	peer := newSite(t, pgtest.New(t), archive)
	eventually(t, "join", func() error { return peer.tryJoin(t, id) })
	ready("follower", peer, "run")
}

// composeFile is what the test looks at of docker/compose.yml.
type composeFile struct {
	Services map[string]struct {
		Image       string
		Command     []string
		Entrypoint  []string
		Environment map[string]string
		Volumes     []string
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
		Healthcheck struct{ Test []string }
		Build       struct{ Context, Dockerfile string }
	}
	Volumes map[string]any
}

// spoken are the pgbridge command lines in a shell script.
var spoken = regexp.MustCompile(`pgbridge ((?:[a-z]+ ?)+(?: ?--[a-z-]+)*)`)

func TestCompose(t *testing.T) {
	text, err := os.ReadFile("../docker/compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var c composeFile
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Services) != 8 {
		t.Errorf("got %d services, want 8", len(c.Services))
	}
	for name, s := range c.Services {
		for on, want := range s.DependsOn {
			other, ok := c.Services[on]
			if !ok || want.Condition == "service_healthy" && len(other.Healthcheck.Test) == 0 {
				t.Errorf("%s waits for %s to be %s, which never happens", name, on, want.Condition)
			}
		}
		for _, v := range s.Volumes {
			volume, _, _ := strings.Cut(v, ":")
			_, declared := c.Volumes[volume]
			if _, err := os.Stat("../docker/" + volume); !declared && (err != nil || !strings.HasPrefix(volume, "./")) {
				t.Errorf("%s: no volume %s", name, volume)
			}
		}
		for variable := range s.Environment {
			knowsEnvironment(t, name, variable)
		}
		if !strings.Contains(s.Image, "PGBRIDGE_IMAGE") {
			continue
		}
		if _, err := os.Stat(filepath.Join("../docker", s.Build.Context, s.Build.Dockerfile)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(s.Entrypoint) == 0 {
			knows(t, name, s.Command)
		}
		for _, line := range append(s.Entrypoint, strings.Join(s.Healthcheck.Test, " ")) {
			for _, said := range spoken.FindAllStringSubmatch(strings.ReplaceAll(line, "CMD pgbridge", "pgbridge"), -1) {
				knows(t, name, strings.Fields(said[1]))
			}
		}
	}
}
