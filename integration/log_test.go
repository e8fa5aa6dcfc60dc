package integration

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// logged lists the archive's actions as text without times and positions,
// which are what lines begin with.
func logged(t testing.TB, s *site, args ...string) (lines []string) {
	t.Helper()
	head := regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}Z 1:\d+ [0-9A-F]+/[0-9A-F]+ `)
	for line := range strings.Lines(s.pgbridge(t, append([]string{"log"}, args...)...)) {
		at := head.FindString(line)
		if at == "" {
			t.Fatalf("log: got line %q, want it to begin as %s", line, head)
		}
		lines = append(lines, strings.TrimSuffix(line[len(at):], "\n"))
	}
	return lines
}

func TestLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writer, id := board(t, "dir://"+dir)
	writer.start(t, "run")
	reader := &site{env: []string{"PGBRIDGE_ARCHIVE=dir://" + dir}} // no database, no key
	holds := func(lines int) {
		t.Helper()
		eventually(t, "everything is in the archive", func() error {
			stdout, stderr, _ := reader.try(t, "log", "--db-id", id)
			if got := strings.Count(stdout, "\n"); got != lines {
				return fmt.Errorf("got %d lines, want %d: %s", got, lines, stderr)
			}
			return nil
		})
	}
	writer.db.Exec(t, `CREATE TABLE note (text text)`)
	writer.db.Exec(t, `INSERT INTO post VALUES (101, 'hello'), (102, NULL)`)
	holds(104) // the update is in another record
	between := writer.db.Value(t, `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')`)
	writer.db.Exec(t, `UPDATE post SET title = 'hello, world' WHERE id = 101`)
	writer.db.Exec(t, `UPDATE post SET id = 103 WHERE id = 102`)
	writer.db.Exec(t, `DELETE FROM post WHERE id = 103`)
	writer.db.Exec(t, `TRUNCATE post`)

	live := []string{
		`pgbridge.schema CREATE TABLE note (text text)`,
		`pgbridge.schema ALTER TABLE public.note REPLICA IDENTITY FULL`,
		`public.post.insert id=101 title="hello"`,
		`public.post.insert id=102 title=null`,
		`public.post.update id=101 title="hello, world"`,
		`public.post.update id=102->103`,
		`public.post.delete id=103`,
		`public.post.truncate`,
	}
	holds(100 + len(live))
	all := logged(t, reader, "--db-id", id)
	if want := `copy public.post.insert id=1 title="post 1"`; all[0] != want {
		t.Errorf("first line: got %q, want %q", all[0], want)
	}
	// An update of the key alone writes the whole row.
	all = slices.Concat(all[:105], []string{strings.TrimSuffix(all[105], " title=null")}, all[106:])
	if !slices.Equal(all[100:], live) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(all[100:], "\n"), strings.Join(live, "\n"))
	}

	for _, test := range []struct {
		args []string
		want int
	}{
		{[]string{"--limit", "3"}, 3},
		{[]string{"--action", "update"}, 2},
		{[]string{"--action", "public.post.delete", "--action", "truncate"}, 2},
		{[]string{"--table", "public.post", "--since", between}, 4},
		{[]string{"--until", between}, 104},
		{[]string{"--action", "pgbridge.schema"}, 2},
		{[]string{"--table", "public.note"}, 0},
	} {
		if got := logged(t, reader, append(test.args, "--db-id", id)...); len(got) != test.want {
			t.Errorf("log %v: got %d lines, want %d:\n%s", test.args, len(got), test.want, strings.Join(got, "\n"))
		}
	}

	var update struct {
		Action, Table, LSN string
		Seq                uint64
		Key, Params        map[string]*string
	}
	line := reader.pgbridge(t, "log", "--db-id", id, "--json", "--action", "update", "--limit", "1")
	if err := json.Unmarshal([]byte(line), &update); err != nil {
		t.Fatalf("log --json: %v: %s", err, line)
	}
	if update.Action != "public.post.update" || update.Table != "public.post" || *update.Key["id"] != "101" || *update.Params["title"] != "hello, world" {
		t.Errorf("log --json: got %s", line)
	}

	writer.db.Exec(t, `INSERT INTO post VALUES (104, 'later')`) // proves that there was a record before it
	holds(100 + len(live) + 1)
	missing := update.Seq
	item := remove(t, dir, missing)
	stdout, stderr, code := reader.try(t, "log", "--db-id", id)
	if want := fmt.Sprintf("records %d to %d are missing", missing, missing); code != 3 || !strings.Contains(stderr, want) ||
		!strings.Contains(stdout, `id=102 title=null`) || strings.Contains(stdout, "hello, world") {
		t.Errorf("with a hole: got exit code %d, %s and %d lines, want 3, %q, and the lines before it", code, stderr, strings.Count(stdout, "\n"), want)
	}
	item.restore(t)
}

func TestLogOfNothing(t *testing.T) {
	t.Parallel()
	reader := &site{env: []string{"PGBRIDGE_ARCHIVE=dir://" + t.TempDir()}}
	unknown := strings.Repeat("ab", 32)
	for _, test := range []struct {
		name string
		args []string
		code int
		say  string
	}{
		{"no id", nil, 2, "--db-id"},
		{"unknown id", []string{"--db-id", unknown}, 1, "no genesis"},
		{"no time", []string{"--db-id", unknown, "--since", "soon"}, 2, "--since"},
		{"no table", []string{"--db-id", unknown, "--table", "post"}, 2, "--table"},
	} {
		if _, stderr, code := reader.try(t, append([]string{"log"}, test.args...)...); code != test.code || !strings.Contains(stderr, test.say) {
			t.Errorf("%s: got exit code %d, %s, want %d and %q", test.name, code, stderr, test.code, test.say)
		}
	}
}
