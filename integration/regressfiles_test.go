//go:build regress

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Why a text is left out, where it is more than one.
const (
	broken     = "functions in C fill it with text that is not UTF-8: run stops, and says so"
	explained  = "of EXPLAIN ANALYZE CREATE TABLE AS the server tells nobody"
	unfinished = "an index that is not finished (here for a division by zero) is at no peer, and of REINDEX peers do not hear"
)

// textsLeftOut are all that PostgreSQL's regression tests do and a follower cannot,
// and what they are to do in place of it.
var textsLeftOut = []struct{ file, text, instead, why string }{{
	file: "create_table", text: "AS SELECT * FROM pg_class WHERE", instead: "AS SELECT relname, relkind FROM pg_class WHERE",
	why: "values of the type pg_node_tree can be written by the server alone",
}, {
	file: "encoding", text: "CREATE TABLE regress_encoding", instead: "CREATE TEMP TABLE regress_encoding",
	why: broken,
}, {
	file: "encoding", text: "CREATE TABLE toast_3b_utf8", instead: "CREATE TEMP TABLE toast_3b_utf8",
	why: broken,
}, {
	file: "vacuum", text: "CREATE INDEX ON vaccluster(wrap_do_analyze(i));", instead: "",
	why: "the index finds its functions by the search_path, and rows are applied under an empty one",
}, {
	file: "select_into", text: "EXPLAIN ANALYZE SELECT * INTO TABLE easi FROM int8_tbl", instead: "CREATE TABLE easi AS SELECT * FROM int8_tbl",
	why: explained,
}, {
	file: "select_into", text: "EXPLAIN ANALYZE CREATE TABLE easi2", instead: "CREATE TABLE easi2",
	why: explained,
}, {
	file: "matview", text: "EXPLAIN (ANALYZE, COSTS OFF, SUMMARY OFF, TIMING OFF)\n  CREATE MAT", instead: "CREATE MAT",
	why: explained,
}, {
	file: "indexing", text: "insert into idxpart11 values (1, 0);", instead: "insert into idxpart11 values (1, 1);",
	why: unfinished,
}, {
	file: "indexing", text: "insert into idxpart1 values (1, 0);", instead: "insert into idxpart1 values (1, 1);",
	why: unfinished,
}, {
	file: "indexing", text: "insert into idxpart2 values (501, 0);", instead: "insert into idxpart2 values (501, 1);",
	why: unfinished,
}, {
	file: "indexing", text: "insert into parted_isvalid_tab_11 values (1, 0);", instead: "insert into parted_isvalid_tab_11 values (1, 1);",
	why: unfinished,
}, {
	file: "event_trigger", text: "set session_replication_role = replica;", instead: "",
	why: "a superuser who turns event triggers off changes what nobody hears of",
}, {
	file: "copy2", text: "CREATE TABLE vistest (LIKE testeoc);", instead: "CREATE TABLE vistest (a text);",
	why: "no peer has the temporary table that is the model",
}, {
	file: "prepared_xacts", text: "CREATE TABLE pxtest3(fff int);", instead: "COMMIT PREPARED 'regress-one'; CREATE TABLE pxtest3(fff int);",
	why: "of two transactions that make tables one waits for the other, and the first is prepared and would stay",
}, {
	file: "prepared_xacts", text: "-- Commit table creation\nCOMMIT PREPARED 'regress-one';", instead: "",
	why: "it is committed already",
}, {
	file: "privileges", text: "ASSERT current_user = 'regress_sro_user'", instead: "ASSERT true",
	why: "at a peer everything belongs to the role of pgbridge, and index expressions run as it",
}}

// regressionInput is a folder with the regression tests, less what is left out,
// that the server may read, whoever it runs as.
func regressionInput(t *testing.T, tests string) string {
	t.Helper()
	dir := openFolder(t)
	for _, name := range []string{"data", "expected", "resultmap", "lib"} {
		if err := os.Symlink(filepath.Join(tests, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "sql"), 0o755); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(tests, "sql", "*.sql"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in %s: %v", tests, err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		text := withoutLeftOut(t, strings.TrimSuffix(name, ".sql"), readFile(t, file))
		if err := os.WriteFile(filepath.Join(dir, "sql", name), []byte(text), 0o644); err != nil { // for psql
			t.Fatal(err)
		}
	}
	return dir
}

func withoutLeftOut(t *testing.T, file, text string) string {
	t.Helper()
	for _, out := range textsLeftOut {
		if out.file != file {
			continue
		}
		if !strings.Contains(text, out.text) {
			t.Errorf("%s has no %q", file, out.text)
		}
		text = strings.ReplaceAll(text, out.text, out.instead)
	}
	return text
}

// regressionGroups are the files in the order of their schedule, as it groups them.
func regressionGroups(t *testing.T, tests string) (all [][]string) {
	t.Helper()
	for line := range strings.Lines(readFile(t, filepath.Join(tests, "parallel_schedule"))) {
		if files, ok := strings.CutPrefix(line, "test: "); ok {
			all = append(all, strings.Fields(files))
		}
	}
	return all
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
