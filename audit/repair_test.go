package audit

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/archive/node"
	"github.com/pgbridge/pgbridge/internal/fakearchive"
)

// heal runs Verify with repair.
func (w *writer) heal(t *testing.T, wallet archive.Wallet, archives ...Archive) *Report {
	t.Helper()
	r, err := (&Verify{Archives: archives, DB: w.db, Repair: &Repair{Wallet: wallet}}).Run(t.Context())
	if err != nil {
		t.Fatalf("repair: %v", err)
	}
	return r
}

// startNode serves items as a node.
func startNode(t *testing.T, items ...archive.Item) Archive {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(n.Handler())
	http := &archive.Client{}
	client := &archive.Node{URL: server.URL, HTTP: http}
	t.Cleanup(func() {
		http.CloseIdle()
		server.Close()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	a := Archive{Finder: client, Putter: client}
	for _, item := range items {
		put(t, a, item)
	}
	return a
}

func sameFiles(t *testing.T, a, b Archive, items []archive.Item) {
	t.Helper()
	for i, item := range items {
		one, err1 := os.ReadFile(a.file(item))
		two, err2 := os.ReadFile(b.file(item))
		if err1 != nil || err2 != nil || !slices.Equal(one, two) || !slices.Equal(one, item.Bytes) {
			t.Errorf("item %d: the files differ from what was put (%v, %v)", i, err1, err2)
		}
	}
}

func TestRepairBetweenFolders(t *testing.T) {
	t.Parallel()
	w := chainOf(t, 12)
	a := []Archive{folder(t, w.items...), folder(t, w.items...), folder(t)}
	a[0].drop(t, w.items[0])
	a[0].drop(t, w.items[3])
	a[0].spoil(t, w.items[5], half)
	a[1].spoil(t, w.items[6], flip)
	if r := w.verify(t, a...); len(r.Faults) == 0 {
		t.Fatal("before: got no faults")
	}
	r := w.heal(t, nil, a...)
	if len(r.Faults) > 0 || r.Repaired != 4+13 {
		t.Errorf("repair: got %d repaired and %+v, want 17 and no faults", r.Repaired, r.Faults)
	}
	for _, h := range r.Archives {
		if h.Complete != 13 {
			t.Errorf("after the repair %s is complete up to %d, want 13", h.Archive, h.Complete)
		}
	}
	sameFiles(t, a[0], a[1], w.items)
	sameFiles(t, a[0], a[2], w.items)
	aside, err := filepath.Glob(filepath.Join(a[0].Finder.(*archive.Folder).Dir, "damaged", "*"))
	if err != nil || len(aside) != 1 {
		t.Fatalf("set aside: got %v, %v, want one file", aside, err)
	}
	if raw, err := os.ReadFile(aside[0]); err != nil || !slices.Equal(raw, half(slices.Clone(w.items[5].Bytes))) {
		t.Errorf("what was damaged is not what was set aside (%v)", err)
	}
	if r := w.heal(t, nil, a...); len(r.Faults) > 0 || r.Repaired != 0 {
		t.Errorf("repair again: got %d repaired and %+v, want nothing to do", r.Repaired, r.Faults)
	}
}

func TestRepairFolderAndNode(t *testing.T) {
	t.Parallel()
	w := chainOf(t, 12)
	a := []Archive{folder(t, w.items[:9]...), startNode(t, w.items[4:]...)}
	a[0].spoil(t, w.items[6], flip)
	r := w.heal(t, nil, a...)
	if len(r.Faults) > 0 || r.Repaired != 1+4+4 {
		t.Errorf("repair: got %d repaired and %+v, want 9 and no faults", r.Repaired, r.Faults)
	}
	if r := w.verify(t, a...); len(r.Faults) > 0 || r.Archives[0].Records != 13 || r.Archives[1].Records != 13 {
		t.Errorf("after the repair: got %+v", r)
	}
	sameFiles(t, a[0], a[0], w.items)
}

// A gateway is not written to; where it gives the record only, a key is needed.
func TestRepairFromBundler(t *testing.T) {
	t.Parallel()
	w := chainOf(t, 5)
	fake := fakearchive.New(t)
	for _, item := range w.items {
		fake.Store(item)
	}
	client := &archive.Client{Retry: archive.Backoff{First: 1, Longest: 1, Elapsed: 1}}
	t.Cleanup(client.CloseIdle)
	bundler := Archive{Finder: &archive.Gateway{URL: fake.URL, Dialect: archive.Bundlr, HTTP: client}}
	a := []Archive{folder(t, w.items[:3]...), bundler}
	r := w.heal(t, nil, a...)
	if len(r.Faults) != 1 || !strings.Contains(r.Faults[0].Detail, "--key") || r.Repaired != 0 {
		t.Errorf("without a key: got %d repaired and %+v, want one fault that asks for a key", r.Repaired, r.Faults)
	}
	r = w.heal(t, archive.KeyWallet(archive.KeyFromSeed([32]byte{5})), a...)
	if len(r.Faults) > 0 || r.Repaired != 3 {
		t.Errorf("with a key: got %d repaired and %+v, want 3 and no faults", r.Repaired, r.Faults)
	}
	if r := w.verify(t, a...); len(r.Faults) > 0 {
		t.Errorf("after the repair: got %+v", r.Faults)
	}
	refs, err := a[0].Finder.Find(t.Context(), archive.Query{DB: w.db, Writer: w.key.Writer(), Epoch: 1, First: 5, Last: 5})
	if err != nil || len(refs) != 1 {
		t.Fatalf("record 5: found %v, %v, want one", refs, err)
	}
	item, err := a[0].Finder.(*archive.Folder).Item(t.Context(), refs[0].ID, archive.MaxRecord)
	if err != nil || !slices.Contains(item.Tags, archive.Tag{Name: "Action", Value: "public.post.update"}) {
		t.Errorf("an item that was made anew has the tags %v, %v, want its actions", item.Tags, err)
	}
	a[0], a[1] = folder(t, w.items...), Archive{Finder: &archive.Gateway{URL: fakearchive.New(t).URL, Dialect: archive.Bundlr, HTTP: client}}
	r = w.heal(t, nil, a...)
	if len(r.Faults) != 2 || !strings.Contains(r.Faults[0].Detail, "not written to") {
		t.Errorf("into a gateway: got %+v, want it to be refused", r.Faults)
	}
}

// mislabelling is a folder that hands out whole items with the right record under
// the wrong tags, though what it lists and the records by themselves are right.
type mislabelling struct {
	folder *archive.Folder
	t      *testing.T
}

func (m *mislabelling) Name() string { return "mislabelling" }

func (m *mislabelling) Find(ctx context.Context, q archive.Query) ([]archive.Ref, error) {
	return m.folder.Find(ctx, q)
}

func (m *mislabelling) FindGenesis(ctx context.Context, db action.Digest) ([]archive.Ref, error) {
	return m.folder.FindGenesis(ctx, db)
}

func (m *mislabelling) Get(ctx context.Context, id string) ([]byte, error) {
	return m.folder.Get(ctx, id)
}

func (m *mislabelling) Item(ctx context.Context, id string, limit int) (archive.Item, error) {
	item, err := m.folder.Item(ctx, id, limit)
	return strange(m.t, item, "Seq", "132", item.Data), err
}

// An item is copied only if its tags are those of its record.
func TestRepairChecksTags(t *testing.T) {
	t.Parallel()
	w := chainOf(t, 5)
	whole := folder(t, w.items...)
	a := []Archive{folder(t, w.items[:5]...), {Finder: &mislabelling{whole.Finder.(*archive.Folder), t}}}
	r := w.heal(t, nil, a...)
	if len(r.Faults) != 1 || !strings.Contains(r.Faults[0].Detail, "its tags say") || r.Repaired != 0 {
		t.Errorf("got %d repaired and %+v, want what is forged refused", r.Repaired, r.Faults)
	}
	if r := w.heal(t, archive.KeyWallet(w.key), a...); len(r.Faults) > 0 || r.Repaired != 1 {
		t.Errorf("with a key: got %d repaired and %+v, want it made anew", r.Repaired, r.Faults)
	}
}
