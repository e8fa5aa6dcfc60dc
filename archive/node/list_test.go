package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pgbridge/pgbridge/archive"
)

// lister is an archive that is asked for any program's items.
type lister interface {
	List(ctx context.Context, tags []archive.Tag) iter.Seq2[archive.Listed, error]
	Item(ctx context.Context, id string, limit int) (archive.Item, error)
}

// TestListAndItem lists items of every kind of key, with and without anchor, and
// fetches them whole, in each way that a node and its folder can be asked.
func TestListAndItem(t *testing.T) {
	r := start(t, Options{})
	var want []archive.Item
	files, err := filepath.Glob("../testdata/arbundles-*.item")
	if err != nil || len(files) < 6 {
		t.Fatalf("items of arbundles: got %d, %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, put(t, r, raw))
	}
	wallet := archive.KeyWallet(archive.KeyFromSeed([32]byte{7}))
	color := []archive.Tag{{Name: "Color", Value: "red"}, {Name: "Size", Value: "1"}}
	for n := range 250 {
		tags := color
		if n%5 == 4 {
			tags = []archive.Tag{{Name: "Color", Value: "red"}, {Name: "Size", Value: "2"}}
		}
		item, err := archive.SignItem(wallet, tags, fmt.Appendf(nil, "data %d", n))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, put(t, r, item.Bytes))
	}
	http := client(t)
	for name, l := range map[string]lister{
		"node":    &archive.Node{URL: r.url, HTTP: http},
		"bundlr":  &archive.Gateway{URL: r.url, Dialect: archive.Bundlr, HTTP: http},
		"gateway": &archive.Gateway{URL: r.url, HTTP: http},
		"folder":  &archive.Folder{Dir: r.options.Dir},
	} {
		t.Run(name, func(t *testing.T) {
			red := 0
			for listed, err := range l.List(t.Context(), color) {
				if err != nil {
					t.Fatal(err)
				}
				if red++; !slices.Equal(listed.Tags, color) || listed.At.IsZero() {
					t.Errorf("listed: got %+v", listed)
				}
			}
			if red != 200 {
				t.Errorf("listed: got %d items, want 200", red)
			}
			for _, item := range want[:min(len(want), len(files)+3)] {
				got, err := l.Item(t.Context(), item.ID, len(item.Data))
				if err != nil || !bytes.Equal(got.Bytes, item.Bytes) {
					t.Errorf("item of type %d: got %d bytes, %v, want %d", item.SigType, len(got.Bytes), err, len(item.Bytes))
				}
				if _, err := l.Item(t.Context(), item.ID, len(item.Data)-1); len(item.Data) > 0 && !errors.Is(err, archive.ErrForged) {
					t.Errorf("item that is too large: got %v, want %v", err, archive.ErrForged)
				}
			}
			for _, id := range []string{archive.Address([]byte("nothing")), "../info"} {
				if _, err := l.Item(t.Context(), id, 100); !errors.Is(err, archive.ErrNotFound) {
					t.Errorf("item %s: got %v, want %v", id, err, archive.ErrNotFound)
				}
			}
		})
	}
}

func put(t *testing.T, r *running, raw []byte) archive.Item {
	t.Helper()
	item, err := archive.ParseItem(raw)
	if err != nil {
		t.Fatal(err)
	}
	if status, body := r.post("/tx", "application/octet-stream", bytes.NewReader(raw)); status != 200 {
		t.Fatalf("upload: got %d %s", status, body)
	}
	return item
}
