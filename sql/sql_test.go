package sql

import (
	"embed"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

//go:embed */*.sql
var everything embed.FS

// An administrator reads these files in a terminal, and a server whose encoding is not
// UTF8 converts them.
func TestFilesAreASCIIInShortLines(t *testing.T) {
	const columns = 120
	for name, text := range files(t, everything) {
		for i, line := range strings.Split(text, "\n") {
			if len(line) >= columns {
				t.Errorf("%s:%d has %d columns, want fewer than %d", name, i+1, len(line), columns)
			}
			if strings.ContainsFunc(line, func(r rune) bool { return r > '~' || r < ' ' }) {
				t.Errorf("%s:%d has a character that is not printable ASCII: %q", name, i+1, line)
			}
			if strings.HasSuffix(line, " ") {
				t.Errorf("%s:%d ends with a space", name, i+1)
			}
		}
	}
}

// A file that Order does not name would never be applied.
func TestOrderNamesEachFileOnce(t *testing.T) {
	var names []string
	for name := range files(t, Functions) {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(name, "functions/"), ".sql"))
	}
	slices.Sort(names)
	order := slices.Sorted(slices.Values(Order))
	if !slices.Equal(names, order) {
		t.Errorf("Order has %q, functions/ has %q", order, names)
	}
	if last := Order[len(Order)-1]; last != "rights" {
		t.Errorf("%s comes last, want rights", last)
	}
}

// files reads the SQL files of a tree, by path.
func files(t *testing.T, tree fs.FS) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := fs.WalkDir(tree, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(tree, path)
		all[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("there are no SQL files")
	}
	return all
}
