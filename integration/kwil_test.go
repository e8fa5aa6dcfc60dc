package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// The two providers of the recorded history, and its database.
const (
	kwilDBID   = "x7a3f0c55f4f1e4f6b9d0c8e2b1a09384756afebdc1230948576aabbc"
	kwilFirst  = "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"
	kwilSecond = "0x5050A4F4b3f9338C3472dcC01A87C76A144b3c9c"
)

// kwilSchema is what was a Kwil schema once. An edit that is replayed twice is
// seen, and so is an insert: its order is kept. A hold can be put on one insert.
const kwilSchema = `
CREATE SCHEMA app;
CREATE TABLE app.message (id text PRIMARY KEY, message text NOT NULL, caller text NOT NULL, edits int NOT NULL DEFAULT 0);
CREATE TABLE app.journal (n int PRIMARY KEY, what text NOT NULL);
CREATE FUNCTION app.insert_message_sync(id text, message text, original_caller text) RETURNS void LANGUAGE plpgsql SET search_path = app, pg_temp AS $$
BEGIN
    IF id = 'message-12' THEN
        PERFORM pg_advisory_xact_lock(4242);
    END IF;
    INSERT INTO message VALUES ($1, $2, $3);
    INSERT INTO journal SELECT count(*), 'insert ' || $1 FROM journal;
END $$;
CREATE FUNCTION app.edit_message_sync(id text, message text) RETURNS void LANGUAGE plpgsql SET search_path = app, pg_temp AS $$
BEGIN
    UPDATE message m SET message = $2, edits = edits + 1 WHERE m.id = $1;
    INSERT INTO journal SELECT count(*), 'edit ' || $1 FROM journal;
END $$;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA app FROM PUBLIC;
`

const kwilRegister = `
SELECT pgbridge.register_action('app.insert_message_sync(text,text,text)');
SELECT pgbridge.register_action('app.edit_message_sync(text,text)');
`

// kwilItems uploads recorded items to a node, no two in one millisecond, and
// returns their ids by the names of their files.
func kwilItems(t *testing.T, node, kind string) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../kwil/testdata/" + kind + "/*.item")
	if err != nil || len(files) == 0 {
		t.Fatalf("recorded items: got %d, %v", len(files), err)
	}
	ids := map[string]string{}
	to := &archive.Node{URL: node}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := to.Put(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		ids[strings.TrimSuffix(filepath.Base(file), ".item")] = receipt.ID
		for now := time.Now().UnixMilli(); time.Now().UnixMilli() == now; { // at most one millisecond
		}
	}
	return ids
}

// kwilSite is a writer with the schema and an archive of its own.
func kwilSite(t *testing.T) *site {
	t.Helper()
	db := pgtest.New(t)
	db.Exec(t, kwilSchema)
	s := newSite(t, db, "dir://"+t.TempDir()).withKey(t)
	s.pgbridge(t, "init", "--name", "board")
	return s
}

func kwilImport(node string, more ...string) []string {
	return append([]string{
		"import", "kwil", "--json", "--archive", node, "--original-dbid", kwilDBID,
		"--signer", kwilFirst, "--signer", strings.ToLower(kwilSecond), "--schema", "app",
	}, more...)
}

// kwilCounts reads the last line of what import prints.
func kwilCounts(t *testing.T, stdout string) (c struct {
	Imported, Already, Late, Listed, Actions, Repeats, Skipped, Ties int
	Reasons                                                          map[string]int
},
) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &c); err != nil {
		t.Fatalf("counts: %v in %q", err, stdout)
	}
	return c
}

// wantJournal is the order of the recorded history.
func wantJournal() string {
	var b strings.Builder
	for n := range 24 {
		fmt.Fprintf(&b, "insert message-%02d\n", n)
		if n%8 == 7 {
			fmt.Fprintf(&b, "edit message-%02d\n", n)
		}
	}
	return b.String()
}

// TestImportKwil replays a history of 2023 that strangers have tampered with. In
// the middle of an action the import is killed; the next one goes on there.
func TestImportKwil(t *testing.T) {
	t.Parallel()
	node, _ := startNode(t, filepath.Join(t.TempDir(), "items"))
	kwilItems(t, node, "history")
	hostile := kwilItems(t, node, "hostile")
	s := kwilSite(t)

	stdout, stderr, code := (&site{}).try(t, kwilImport(node, "--dry-run")...)
	c := kwilCounts(t, stdout)
	if code != 3 || !strings.Contains(stderr, "2 of the refused items may stand for actions") {
		t.Errorf("dry run: exit code %d, %s, want 3 and the items to look at", code, stderr)
	}
	if lines := strings.Count(stdout, "\n"); c.Imported != 27 || c.Repeats != 3 || c.Ties != 0 || lines != 28 ||
		fmt.Sprint(c.Reasons) != "map[clash:1 owner:2 payload:1 signature:2 tags:1]" {
		t.Errorf("dry run: %d lines, %+v", lines, c)
	}
	if !strings.Contains(stdout, `"action":"app.insert_message_sync"`) || !strings.Contains(stdout, `"original_caller":"0x7099`) {
		t.Errorf("dry run: no actions with parameters in %s", stdout)
	}

	args := kwilImport(node, "--skip", hostile["clash"]+","+hostile["payload"])
	_, stderr, code = s.try(t, args...)
	if code != 3 || !strings.Contains(stderr, "there is no action app.insert_message_sync") {
		t.Errorf("nothing registered: exit code %d, %s", code, stderr)
	}
	if got := s.db.Value(t, "SELECT count(*) FROM pgbridge.imported"); got != "0" {
		t.Errorf("nothing registered: %s actions are remembered, want none", got)
	}
	s.db.Exec(t, kwilRegister)

	hold := s.db.Connect(t)
	if _, err := hold.Exec(t.Context(), "SELECT pg_advisory_lock(4242)"); err != nil {
		t.Fatal(err)
	}
	p := s.start(t, args...)
	s.db.Wait(t, "1", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4242 AND NOT granted")
	p.kill()
	if _, err := hold.Exec(t.Context(), "SELECT pg_advisory_unlock(4242)"); err != nil {
		t.Fatal(err)
	}
	if got := s.db.Value(t, "SELECT count(*) FROM pgbridge.imported"); got != "13" {
		t.Errorf("killed in the 14th action: %s are remembered, want 13", got)
	}

	c = kwilCounts(t, s.pgbridge(t, args...))
	if c.Imported != 14 || c.Already != 13 || c.Late != 0 || c.Skipped != 2 {
		t.Errorf("after the kill: got %+v, want 14 imported, 13 already", c)
	}
	check := func(when string) {
		t.Helper()
		if got := s.db.Value(t, `SELECT string_agg(what || E'\n', '' ORDER BY n) FROM app.journal`); got != wantJournal() {
			t.Errorf("%s: got order\n%s\nwant\n%s", when, got, wantJournal())
		}
		if got := s.db.Value(t, "SELECT string_agg(id || edits, ' ' ORDER BY id) FROM app.message WHERE edits > 0"); got != "message-071 message-151 message-231" {
			t.Errorf("%s: edits: got %s", when, got)
		}
		if got := s.db.Value(t, "SELECT message FROM app.message WHERE id = 'message-00'"); got != "message 0: \"hi\"\n\\ <&> ü 😀 \u2028" {
			t.Errorf("%s: a value: got %q", when, got)
		}
		if got := s.db.Value(t, "SELECT count(*) FROM app.message WHERE id = 'evil' OR message = 'evil'"); got != "0" {
			t.Errorf("%s: %s rows of strangers", when, got)
		}
	}
	check("imported")
	if c = kwilCounts(t, s.pgbridge(t, args...)); c.Imported != 0 || c.Already != 27 {
		t.Errorf("again: got %+v, want all 27 already", c)
	}
	check("again")
}

// TestImportKwilStops shows what stops an import: each time, all before it is
// there, and nothing of it is.
func TestImportKwilStops(t *testing.T) {
	t.Parallel()
	node, _ := startNode(t, filepath.Join(t.TempDir(), "items"))
	ids := kwilItems(t, node, "history")
	s := kwilSite(t)
	s.db.Exec(t, kwilRegister)
	tests := []struct {
		name, break_, mend string
		code               int
		want               string
	}{
		{
			"a value the table refuses",
			"ALTER TABLE app.message ADD CHECK (id <> 'message-02')", "ALTER TABLE app.message DROP CONSTRAINT message_id_check", 3, "violates check constraint",
		},
		{
			"a function that raises", `CREATE OR REPLACE FUNCTION app.edit_message_sync(id text, message text) RETURNS void LANGUAGE plpgsql SET search_path = app, pg_temp AS $$
			BEGIN RAISE EXCEPTION 'secret %', $1; END $$`,
			kwilSchema[strings.Index(kwilSchema, "CREATE FUNCTION app.edit"):strings.Index(kwilSchema, "REVOKE")], 3, "the server's message is withheld",
		},
		{"a server that is short of locks", "ALTER TABLE app.message ADD CHECK (app.short(id))", "ALTER TABLE app.message DROP CONSTRAINT message_id_check", 1, "out of locks"},
	}
	s.db.Exec(t, `CREATE FUNCTION app.short(id text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
		BEGIN IF id = 'message-20' THEN RAISE EXCEPTION 'out of locks' USING ERRCODE = '53200'; END IF; RETURN true; END $$`)
	before := -1
	for _, test := range tests {
		s.db.Exec(t, test.break_)
		stdout, stderr, code := s.try(t, kwilImport(node)...)
		if code != test.code || !strings.Contains(stderr, test.want) || strings.Contains(stderr, "secret") {
			t.Errorf("%s: exit code %d, %s\nwant %d, %q and no values", test.name, code, stderr, test.code, test.want)
		}
		c := kwilCounts(t, stdout)
		if done := c.Imported + c.Already; done <= before || s.db.Value(t, "SELECT count(*) FROM pgbridge.imported") != fmt.Sprint(done) ||
			s.db.Value(t, "SELECT count(*) FROM app.journal") != fmt.Sprint(done) {
			t.Errorf("%s: %+v: want as many remembered as replayed, and more than %d", test.name, c, before)
		} else {
			before = done
		}
		s.db.Exec(t, strings.ReplaceAll(test.mend, "CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
	}
	if c := kwilCounts(t, s.pgbridge(t, kwilImport(node, "--skip", ids["22"])...)); c.Imported+c.Already != 26 || c.Skipped != 1 {
		t.Errorf("at last, without one: got %+v, want 26 of 27", c)
	}
	// What was left out comes late, and is told of.
	stdout, stderr, code := s.try(t, kwilImport(node)...)
	if c := kwilCounts(t, stdout); code != 0 || c.Imported != 1 || c.Late != 1 || !strings.Contains(stderr, "did not list before") {
		t.Errorf("the one: exit code %d, %+v, %s", code, c, stderr)
	}

	other := pgtest.New(t)
	if _, stderr, code := newSite(t, other).try(t, kwilImport(node)...); code != 3 || !strings.Contains(stderr, "run pgbridge init") {
		t.Errorf("not set up: exit code %d, %s", code, stderr)
	}
	noSessions(t, s.db)
}
