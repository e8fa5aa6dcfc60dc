package checkpoint

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

// cut returns what a cutter makes of rows: the content of each piece, and its size.
func cut(t *testing.T, rows []string) (contents []action.Digest, sizes []int) {
	t.Helper()
	w := &cutter{spare: func() []byte { return nil }, emit: func(p piece) error {
		_, content := digestRows(p.text)
		contents, sizes = append(contents, content), append(sizes, len(p.text))
		return nil
	}}
	for _, row := range rows {
		if _, err := w.Write([]byte(row)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	return contents, sizes
}

// What changes in one place leaves the pieces elsewhere as they were, although all
// rows behind it have moved.
func TestCutterFindsItsWayBack(t *testing.T) {
	rows := make([]string, 100_000)
	for i := range rows {
		rows[i] = fmt.Sprintf("%d\t%s\n", i, strings.Repeat("x", 1000))
	}
	before, sizes := cut(t, rows)
	for i, size := range sizes {
		if size > chunkSize || size < chunkMin && i < len(sizes)-1 {
			t.Errorf("piece %d of %d has %d bytes, want %d to %d", i, len(sizes), size, chunkMin, chunkSize)
		}
	}
	for _, tt := range []struct {
		name string
		rows []string
	}{
		{"a row came", slices.Insert(slices.Clone(rows), 30_000, "new\n")},
		{"rows are gone", slices.Delete(slices.Clone(rows), 40_000, 45_000)},
		{"the first row is gone", rows[1:]},
		{"rows came in front", append([]string{strings.Repeat("y", 5<<20) + "\n"}, rows...)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			after, _ := cut(t, tt.rows)
			fresh := slices.DeleteFunc(after, func(d action.Digest) bool { return slices.Contains(before, d) })
			if len(fresh) == 0 || len(fresh) > 3 {
				t.Errorf("%d of %d pieces are new, want 1 to 3", len(fresh), len(before))
			}
		})
	}
}
