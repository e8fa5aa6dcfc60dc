package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// tasks is a table whose rows are made by a call, and renamed by a plain UPDATE
// that is mapped.
const tasks = `CREATE SCHEMA app; CREATE TABLE app.task (id int PRIMARY KEY, title text, done bool NOT NULL DEFAULT false);
	ALTER TABLE app.task REPLICA IDENTITY FULL;
	CREATE FUNCTION app.add_task(id int, title text) RETURNS void LANGUAGE sql SET search_path = app AS 'INSERT INTO task VALUES (id, title)';
	CREATE FUNCTION app.rename_task(task int, title text) RETURNS void LANGUAGE sql SET search_path = app AS 'UPDATE task SET title = rename_task.title WHERE id = rename_task.task';
	REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA app FROM PUBLIC`

const registerTasks = `SELECT pgbridge.register_action('app.add_task(int,text)'), pgbridge.register_action('app.rename_task(int,text)');
	SELECT pgbridge.map_action('app.rename_task(int,text)', 'app.task', 'update', ARRAY['title'], '{"task": "id", "title": "title"}')`

// newTasks makes a site that publishes tasks, and registers the actions.
func newTasks(t testing.TB, archives ...string) (writer *site, id string) {
	t.Helper()
	db := pgtest.New(t)
	db.Exec(t, tasks)
	writer = newSite(t, db, archives...).withKey(t)
	id = strings.TrimSpace(writer.pgbridge(t, "init", "--name", "tasks"))
	db.Exec(t, registerTasks)
	return writer, id
}

func (s *site) addTask(t testing.TB, id int, title string) {
	t.Helper()
	s.db.Exec(t, `SELECT pgbridge.call('app.add_task', jsonb_build_object('id', $1::int, 'title', $2::text))`, id, title)
}

func TestLogActions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writer, id := newTasks(t, "dir://"+dir)
	node, _ := startNode(t, t.TempDir())
	writer.env = append(writer.env, "PGBRIDGE_ARCHIVE=dir://"+dir+","+node)
	writer.start(t, "run")
	folder, pushed := &site{env: []string{"PGBRIDGE_ARCHIVE=dir://" + dir}}, &site{env: []string{"PGBRIDGE_ARCHIVE=" + node}}

	writer.addTask(t, 1, "first")
	writer.addTask(t, 2, "second")
	writer.db.Exec(t, `UPDATE app.task SET title = 'renamed' WHERE id = 1`)
	writer.db.Exec(t, `UPDATE app.task SET done = true WHERE id = 2`)
	lines := []string{
		`app.add_task(id=1, title="first")`,
		`app.add_task(id=2, title="second")`,
		`app.rename_task(task=1, title="renamed")`,
		`app.task.update id=2 title="second" done="f"->"t"`,
	}
	for _, reader := range []*site{folder, pushed} {
		eventually(t, "everything is in the archive", func() error {
			stdout, stderr, _ := reader.try(t, "log", "--db-id", id, "--table", "app.task")
			if got := strings.Count(stdout, "\n"); got != len(lines) {
				return fmt.Errorf("got %d lines, want %d: %s", got, len(lines), stderr)
			}
			return nil
		})
		for _, test := range []struct {
			args []string
			want []int
		}{
			{[]string{"--table", "app.task"}, []int{0, 1, 2, 3}},
			{[]string{"--action", "add_task"}, []int{0, 1}},
			{[]string{"--action", "app.rename_task", "--action", "app.task.update"}, []int{2, 3}},
			{[]string{"--action", "app.rename_task", "--action", "app.task.update", "--by-tag"}, []int{2, 3}},
			{[]string{"--action", "app.task.insert", "--by-tag"}, []int{0, 1}},
			{[]string{"--action", "app.none", "--by-tag"}, nil},
			{[]string{"--param", "title=second"}, []int{1}},
			{[]string{"--row-key", "id=1"}, []int{0, 2}},
		} {
			var want []string
			for _, i := range test.want {
				want = append(want, lines[i])
			}
			if got := logged(t, reader, append(test.args, "--db-id", id)...); !slices.Equal(got, want) {
				t.Errorf("log %v: got\n%s\nwant\n%s", test.args, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
	callIsWhole(t, folder, id)

	for name, reader := range map[string]*site{"polling": folder, "pushed": pushed} {
		following := reader.start(t, "log", "--db-id", id, "--action", "add_task", "--follow")
		waitFor(t, following, `app.add_task(id=2, title="second")`)
		title := "to " + name
		writer.addTask(t, len(name), title)
		waitFor(t, following, fmt.Sprintf(`title=%q`, title))
		if code := following.stop(t); code != 0 || strings.Contains(following.String(), "pgbridge: ") {
			t.Errorf("%s: log --follow ended with exit code %d:\n%s", name, code, following)
		}
	}
}

// waitFor waits until the program has printed text.
func waitFor(t testing.TB, p *process, text string) {
	t.Helper()
	eventually(t, text, func() error {
		if !strings.Contains(p.String(), text) {
			return errors.New(p.String())
		}
		return nil
	})
}

// callIsWhole looks at a call as a program reads it.
func callIsWhole(t *testing.T, reader *site, id string) {
	t.Helper()
	var call struct {
		Action string
		Params map[string]*string
		Effect []struct {
			Action, Table string
			Params        map[string]*string
		}
	}
	line := reader.pgbridge(t, "log", "--db-id", id, "--json", "--action", "app.add_task", "--limit", "1")
	if err := json.Unmarshal([]byte(line), &call); err != nil {
		t.Fatalf("log --json: %v: %s", err, line)
	}
	if call.Action != "app.add_task" || *call.Params["title"] != "first" || len(call.Effect) != 1 || call.Effect[0].Action != "app.task.insert" || *call.Effect[0].Params["title"] != "first" {
		t.Errorf("log --json: got %s", line)
	}
}

func TestActionCommands(t *testing.T) {
	t.Parallel()
	writer, _ := newTasks(t, "dir://"+t.TempDir())
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"action", "list"}, []string{"app.add_task(id integer, title text)", "app.rename_task(task integer, title text)", "replay by function", "1 rule\n"}},
		{[]string{"action", "show", "app.rename_task"}, []string{"app.rename_task(integer,text)", "update of (title) on app.task"}},
		{[]string{"action", "explain", "--table", "app.task", "--operation", "update", "--changed", "title"}, []string{"named app.rename_task", "yes app.rename_task for title"}},
		{[]string{"action", "explain", "--table", "app.task", "--operation", "update", "--changed", "title,done"}, []string{"named app.task.update", "no  app.rename_task", "done changed too"}},
		{[]string{"action", "explain", "--table", "app.task", "--operation", "insert"}, []string{"named app.task.insert", "no rule"}},
	} {
		got := writer.pgbridge(t, test.args...)
		for _, want := range test.want {
			if !strings.Contains(got, want) {
				t.Errorf("pgbridge %v: got\n%s\nwant %q in it", test.args, got, want)
			}
		}
	}
	var shown struct {
		Name       string
		Definition struct{ Rules []struct{ Table string } }
		Problems   []any
	}
	if text := writer.pgbridge(t, "action", "show", "app.rename_task", "--json"); json.Unmarshal([]byte(text), &shown) != nil || shown.Name != "app.rename_task" || shown.Definition.Rules[0].Table != "app.task" {
		t.Errorf("action show --json: got %s", text)
	}
	if _, stderr, code := writer.try(t, "action", "show", "app.none"); code != 2 || !strings.Contains(stderr, "no action") {
		t.Errorf("show an unknown action: got exit code %d, %s", code, stderr)
	}

	writer.db.Exec(t, `GRANT EXECUTE ON FUNCTION app.add_task TO PUBLIC`)
	stdout, _, code := writer.try(t, "action", "list")
	if code != 3 || !strings.Contains(stdout, "error: others than its owner may execute it: PUBLIC") {
		t.Errorf("list with an error: got exit code %d, %s", code, stdout)
	}
	writer.db.Exec(t, `UPDATE pgbridge.chain SET forged = 2`)
	text, _, _ := writer.try(t, "status")
	for _, want := range []string{"2 marks of calls did not count", "1 error", "pgbridge action show app.add_task"} {
		if !strings.Contains(text, want) {
			t.Errorf("status: got\n%s\nwant %q in it", text, want)
		}
	}
}

// A function that does something else at the peer stops the chain; what differs
// is shown, and each decision does what it says.
func TestQuarantineCommands(t *testing.T) {
	t.Parallel()
	archive := "dir://" + t.TempDir()
	writer, id := newTasks(t, archive)
	publishing := writer.start(t, "run")
	for _, test := range []struct {
		decision string
		want     string // what the peer has in the end
	}{
		{"skip", "2 second, 3 third"}, {"use-rows", "1 first, 2 second, 3 third"}, {"retry", "1 first, 2 second, 3 third"},
	} {
		t.Run(test.decision, func(t *testing.T) {
			writer.db.Exec(t, `DELETE FROM app.task`)
			peer := newSite(t, pgtest.New(t), archive)
			eventually(t, "join", func() error { return peer.tryJoin(t, id) })
			peer.start(t, "run")
			writer.db.Exec(t, `INSERT INTO app.task VALUES (99, 'all before it is there')`)
			applied(t, writer.db, peer.db)
			writer.db.Exec(t, `DELETE FROM app.task`)
			peer.db.Exec(t, `CREATE FUNCTION app.shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.title := upper(NEW.title); RETURN NEW; END';
				CREATE TRIGGER shout BEFORE INSERT ON app.task FOR EACH ROW WHEN (NEW.id = 1) EXECUTE FUNCTION app.shout()`)
			writer.addTask(t, 1, "first")
			writer.addTask(t, 2, "second")
			writer.addTask(t, 3, "third")
			entry := peer.quarantined(t)
			peer.differs(t, entry)

			args := []string{"quarantine", test.decision, entry}
			if test.decision == "retry" {
				peer.pgbridge(t, "quarantine", "skip", entry, "--reason", "a mistake")
				peer.db.Exec(t, `DROP TRIGGER shout ON app.task`)
			} else {
				args = append(args, "--reason", "the trigger stays")
			}
			if text := peer.pgbridge(t, args...); !strings.Contains(text, "start pgbridge run") {
				t.Errorf("%v: got %s", args, text)
			}
			peer.start(t, "run")
			eventually(t, "the chain goes on", func() error {
				if got := peer.db.Value(t, `SELECT string_agg(concat_ws(' ', id, title), ', ' ORDER BY id) FROM app.task`); got != test.want {
					return fmt.Errorf("got %s, want %s", got, test.want)
				}
				return nil
			})
			if r, code := peer.status(t); len(r.Quarantine) != 0 || code == 3 {
				t.Errorf("status: got exit code %d, %+v", code, r)
			}
			if text := peer.pgbridge(t, "quarantine", "list"); text != "" {
				t.Errorf("list: got %s, want nothing", text)
			}
			if text := peer.pgbridge(t, "quarantine", "list", "--all"); !strings.Contains(text, "past") {
				t.Errorf("list --all: got %s, want an entry that is past", text)
			}
			if _, stderr, code := peer.try(t, "quarantine", "skip", entry, "--reason", "late"); code != 2 || !strings.Contains(stderr, "is history") {
				t.Errorf("decide on history: got exit code %d, %s", code, stderr)
			}
		})
	}
	publishing.stop(t)
}

// quarantined waits for an entry and returns its id.
func (s *site) quarantined(t testing.TB) (id string) {
	t.Helper()
	eventually(t, "a transaction is in quarantine, and run has ended", func() error {
		var running bool
		if r, _ := s.status(t); r.Running {
			running = true
		}
		id, _, _ = strings.Cut(s.pgbridge(t, "quarantine", "list"), " ")
		if id == "" || running {
			return fmt.Errorf("entry %q, running %v", id, running)
		}
		return nil
	})
	return id
}

// differs wants the entry to say what differs: in show and in status.
func (s *site) differs(t *testing.T, entry string) {
	t.Helper()
	text := s.pgbridge(t, "quarantine", "show", entry)
	status, _, code := s.try(t, "status")
	for _, want := range []string{"app.task id=1", `title: expected "first", found "FIRST"`} {
		if !strings.Contains(text, want) {
			t.Errorf("show: got\n%s\nwant %q in it", text, want)
		}
		if !strings.Contains(status, want) || code != 3 {
			t.Errorf("status: got exit code %d,\n%s\nwant 3, and %q in it", code, status, want)
		}
	}
	if want := "pgbridge quarantine show " + entry; !strings.Contains(status, want) {
		t.Errorf("status: got\n%s\nwant %q in it", status, want)
	}
	var shown struct {
		State  string
		Detail struct {
			Table          string
			Key, Want, Got map[string]string
		}
	}
	line := s.pgbridge(t, "quarantine", "show", entry, "--json")
	if err := json.Unmarshal([]byte(line), &shown); err != nil || shown.State != "open" || shown.Detail.Table != "app.task" || shown.Detail.Key["id"] != "1" ||
		shown.Detail.Want["title"] != "first" || shown.Detail.Got["title"] != "FIRST" {
		t.Errorf("show --json: %v: got %s", err, line)
	}
}
