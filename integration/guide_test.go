package integration

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/bridgetest"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// The guide is followed as a reader would: its steps run in their order, each
// where its comment says, and print what stands behind them. The follower and a
// restored copy are equal to the source in the end.
func TestGuide(t *testing.T) {
	t.Parallel()
	g := newGuide(t, "../docs/actions.md")
	steps := readGuide(t, g.page)
	for _, s := range steps {
		g.run(t, s)
	}
	if g.running["source"] == nil || g.running["follower"] == nil {
		t.Fatalf("after %d steps the source does not publish, or the follower not follow", len(steps))
	}
	source := g.site(t, "source").db
	sameData(t, source, g.site(t, "follower").db)
	for place, p := range g.running {
		if code := p.stop(t); code != 0 {
			t.Errorf("pgbridge run on the %s: exit code %d after SIGTERM", place, code)
		}
	}
	restored := g.site(t, "restored copy")
	restored.pgbridge(t, "restore", "--db-id", g.id)
	pgtest.RequireEqual(t, pgtest.Dump(t, restored.db), pgtest.Dump(t, source))
}

// guide are the places where the reader works.
type guide struct {
	page    string
	folder  string          // where commands run
	once    bool            // no command is repeated until it prints what it is to
	cluster *pgtest.Cluster // its own: the guide makes roles
	archive string
	sites   map[string]*site
	running map[string]*process
	id      string // what the guide calls DB-ID
}

func newGuide(t *testing.T, page string) *guide {
	t.Helper()
	node, _ := startNode(t, t.TempDir())
	return &guide{page: page, folder: t.TempDir(), cluster: pgtest.Start(t, pgtest.Config{}), archive: node, sites: map[string]*site{}, running: map[string]*process{}}
}

// site is a place by its name, a database with pgbridge beside it.
func (g *guide) site(t *testing.T, place string) *site {
	t.Helper()
	s := g.sites[place]
	if s == nil {
		s = newSite(t, g.cluster.Database(t), g.archive)
		if place == "source" {
			s.withKey(t)
		}
		g.sites[place] = s
	}
	return s
}

// guideStep is code of the guide, and what it is to print.
type guideStep struct {
	line        int    // of the guide
	event       string // something happens, and nothing else
	language    string // sql or sh
	role, place string
	code        []string
	want        []string
}

var (
	sqlPlace = regexp.MustCompile(`^-- as (\w+)(?:, on the (\w+))?$`)
	shPlace  = regexp.MustCompile(`^# on the (\w+)$`)
	printed  = regexp.MustCompile(`^(?:-->|#>) *(.+)$`)
	happens  = regexp.MustCompile(`^<!-- test: (.+) -->$`)
)

// readGuide takes the steps out of a page. One ends with what it prints, or
// where another place begins.
func readGuide(t *testing.T, name string) (steps []guideStep) {
	t.Helper()
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var now guideStep
	end := func() {
		if len(now.code) > 0 {
			steps = append(steps, now)
		}
		now.code, now.want = nil, nil
	}
	for i, line := range strings.Split(string(page), "\n") {
		if language, ok := strings.CutPrefix(line, "```"); ok {
			end()
			now = guideStep{language: language}
			continue
		}
		if event := happens.FindStringSubmatch(line); event != nil {
			steps = append(steps, guideStep{line: i + 1, event: event[1]})
		}
		if now.language == "" {
			continue // prose
		}
		sql, sh, out := sqlPlace.FindStringSubmatch(line), shPlace.FindStringSubmatch(line), printed.FindStringSubmatch(line)
		switch {
		case now.language == "sql" && sql != nil:
			end()
			now.role, now.place = sql[1], cmp.Or(sql[2], "source")
		case now.language == "sh" && sh != nil:
			end()
			now.place = sh[1]
		case now.place == "":
			t.Fatalf("%s:%d: a block of %s that does not say where it runs would not be tested", name, i+1, now.language)
		case out != nil:
			now.want = append(now.want, out[1])
		default:
			if now.want != nil {
				end()
			}
			if now.code == nil {
				now.line = i + 1
			}
			now.code = append(now.code, line)
		}
	}
	return steps
}

// run runs a step. What reads the archive, or another database than the
// source, is repeated until what was done at the source has got there.
func (g *guide) run(t *testing.T, s guideStep) {
	t.Helper()
	where := fmt.Sprintf("%s:%d", strings.TrimPrefix(g.page, "../"), s.line)
	last := len(s.code) - 1
	command := s.code[last]
	runs := command == "pgbridge run" || strings.HasSuffix(command, " --follow")
	if runs {
		s.code = s.code[:last]
	}
	check := func() error {
		if len(s.code) == 0 {
			return nil
		}
		out := g.output(t, s)
		if err := g.compare(s, out); err != nil {
			return fmt.Errorf("%w; got\n%s\nwant\n%s", err, out, strings.Join(s.want, "\n"))
		}
		return nil
	}
	if s.want != nil && (s.language == "sh" || s.place != "source") && !g.once {
		eventually(t, where, check)
	} else if err := check(); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	if runs {
		g.start(t, s.place, where, strings.Fields(strings.ReplaceAll(command, "DB-ID", g.id))[1:])
	}
}

// start leaves pgbridge running. If one was before, it must have ended
// because a person must decide.
func (g *guide) start(t *testing.T, place, where string, args []string) {
	t.Helper()
	if p := g.running[place]; p != nil {
		if code := p.wait(t); code != 3 {
			t.Fatalf("%s: pgbridge run before this one ended with exit code %d, want 3", where, code)
		}
	}
	g.running[place] = g.site(t, place).start(t, args...)
}

// output runs the code and returns what it printed.
func (g *guide) output(t *testing.T, s guideStep) string {
	t.Helper()
	at := g.site(t, s.place)
	psql := at.db.Cluster.Client(t, "psql")
	code := strings.Join(s.code, "\n")
	var cmd *exec.Cmd
	if s.language == "sh" {
		cmd = exec.CommandContext(t.Context(), "sh", "-e")
		cmd.Env = append(append(os.Environ(), at.env...), "PATH="+filepath.Dir(bridgetest.Binary())+":"+filepath.Dir(psql)+":"+os.Getenv("PATH"))
		code = strings.ReplaceAll(code, "DB-ID", g.id)
	} else {
		cmd = exec.CommandContext(t.Context(), psql, "-XqAt", "-v", "SHOW_CONTEXT=never")
		cmd.Env = append(at.db.Env(), "PGUSER="+s.role)
	}
	cmd.Stdin, cmd.Dir = strings.NewReader(code), g.folder
	return granted.ReplaceAllString(combined(t, cmd), "")
}

// granted are the lines that say what a service role was given: no guide shows them.
var granted = regexp.MustCompile(`(?m)^time=\S+ level=INFO msg="?granted.*\n`)

// combined is what a command prints. How it ends is not looked at: an error is
// among what it prints.
func combined(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out)
}

// compare compares what a step printed, but for empty lines, with what is to come. In
// that … stands for anything in a line, and DB-ID, the first time, for an id.
func (g *guide) compare(s guideStep, out string) error {
	var lines []string
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) != len(s.want) {
		return fmt.Errorf("%d lines, want %d", len(lines), len(s.want))
	}
	lines = orderLog(lines)
	for i, want := range orderLog(s.want) {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(want), "…", ".*")
		if g.id == "" {
			pattern = strings.ReplaceAll(pattern, "DB-ID", "([0-9a-f]{64})")
		}
		found := regexp.MustCompile("^" + strings.ReplaceAll(pattern, "DB-ID", g.id) + "$").FindStringSubmatch(lines[i])
		if found == nil {
			return fmt.Errorf("line %d differs", i+1)
		}
		if len(found) > 1 {
			g.id = found[1]
		}
	}
	return nil
}

// orderLog sorts the log lines that follow each other by what they say: work that is done
// side by side is logged in any order.
func orderLog(lines []string) []string {
	isLog := func(line string) bool { return strings.HasPrefix(line, "time=") }
	ordered := slices.Clone(lines)
	for from := 0; from < len(ordered); from++ {
		to := from
		for to < len(ordered) && isLog(ordered[to]) {
			to++
		}
		slices.SortStableFunc(ordered[from:to], func(a, b string) int {
			_, first, _ := strings.Cut(a, " ")
			_, second, _ := strings.Cut(b, " ")
			return strings.Compare(first, second)
		})
		from = to
	}
	return ordered
}
