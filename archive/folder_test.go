package archive_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/archive/storetest"
)

func TestFolder(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store { return &archive.Folder{Dir: t.TempDir()} })
}

// The layout is for ever: folders are copied away and read years later.
func TestFolderLayout(t *testing.T) {
	c := storetest.NewChain(t, "layout")
	c.Header.Seq = 42122
	item := c.Next(t, archive.TypeActions, []byte("x"))
	ref, err := item.Ref()
	if err != nil {
		t.Fatal(err)
	}
	f := &archive.Folder{Dir: t.TempDir()}
	put(t, f, item)
	want := filepath.Join(f.Dir, c.DB.String(), c.Key.Writer().String(), "1", "000000042000",
		"000000042123-actions-"+ref.Digest.String()+"-"+item.ID+".item")
	got, err := os.ReadFile(want)
	if err != nil || !bytes.Equal(got, item.Bytes) {
		t.Errorf("file %s: got %d bytes, %v, want the %d of the item", want, len(got), err, len(item.Bytes))
	}
}

func TestFolderForeignItem(t *testing.T) {
	key, err := archive.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	item, err := archive.SignItem(archive.KeyWallet(key), []archive.Tag{{Name: "Content-Type", Value: "text/plain"}}, []byte("hi"))
	if err != nil {
		t.Fatal(err)
	}
	f := &archive.Folder{Dir: t.TempDir()}
	put(t, f, item)
	for name, reader := range map[string]*archive.Folder{"the writer": f, "another process": {Dir: f.Dir}} {
		if got, err := reader.Get(t.Context(), item.ID); err != nil || string(got) != "hi" {
			t.Errorf("Get by %s: got %q, %v, want hi", name, got, err)
		}
	}
}

func TestFolderCopyIsFullArchive(t *testing.T) {
	from := &archive.Folder{Dir: t.TempDir()}
	c := storetest.NewChain(t, "copy")
	put(t, from, c.Genesis)
	var items []archive.Item
	for range 20 {
		items = append(items, c.Next(t, archive.TypeActions, []byte("x")))
		put(t, from, items[len(items)-1])
	}
	to := &archive.Folder{Dir: t.TempDir()}
	db := c.DB.String()
	if err := os.CopyFS(filepath.Join(to.Dir, db), os.DirFS(filepath.Join(from.Dir, db))); err != nil {
		t.Fatal(err)
	}
	for _, item := range append(items, c.Genesis) { // by id, without Find before
		got, err := to.Get(t.Context(), item.ID)
		if err != nil || !bytes.Equal(got, item.Data) {
			t.Fatalf("Get %s from the copy: got %d bytes, %v", item.ID, len(got), err)
		}
	}
	if refs, err := to.Find(t.Context(), c.Query(1, 100)); err != nil || len(refs) != 21 {
		t.Errorf("Find in the copy: got %d refs, %v, want 21", len(refs), err)
	}
	if refs, err := to.FindGenesis(t.Context(), c.DB); err != nil || len(refs) != 1 {
		t.Errorf("FindGenesis in the copy: got %d refs, %v, want 1", len(refs), err)
	}
}

func TestFolderInterruptedWrite(t *testing.T) {
	f := &archive.Folder{Dir: t.TempDir()}
	c := storetest.NewChain(t, "interrupted")
	item := c.Next(t, archive.TypeActions, []byte("x"))
	next := c.Next(t, archive.TypeActions, []byte("y"))
	put(t, f, item)
	half := item.Bytes[:len(item.Bytes)/2]
	old, young := filepath.Join(f.Dir, "tmp", "OLD.part"), filepath.Join(f.Dir, "tmp", "YOUNG.part")
	write(t, old, half)
	write(t, young, half)
	write(t, filepath.Join(f.Dir, filepath.Dir(archive.Path(&item)), "stray.part"), half)
	yesterday := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(old, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}

	after := &archive.Folder{Dir: f.Dir} // the process was killed
	if refs, err := after.Find(t.Context(), c.Query(1, 100)); err != nil || len(refs) != 1 || refs[0].ID != item.ID {
		t.Errorf("Find: got %v, %v, want the one whole item", refs, err)
	}
	put(t, after, next)
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a day-old part: got %v, want it removed by the next write", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("a fresh part, another process may be writing it: got %v, want it left alone", err)
	}
}

func TestFolderDamagedFile(t *testing.T) {
	c := storetest.NewChain(t, "damaged")
	item := c.Next(t, archive.TypeActions, bytes.Repeat([]byte("some body "), 100))
	flipped := bytes.Clone(item.Bytes)
	flipped[len(flipped)-1] ^= 1
	for _, test := range []struct {
		name string
		file []byte
		get  string // part of the error of Get, none if the record must tell
	}{
		{"empty", nil, "is damaged"},
		{"head only", item.Bytes[:100], "is damaged"},
		{"another item", c.Genesis.Bytes, "is damaged"},
		{"one bit", flipped, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := &archive.Folder{Dir: t.TempDir()}
			put(t, f, item)
			write(t, filepath.Join(f.Dir, archive.Path(&item)), test.file)
			got, err := f.Get(t.Context(), item.ID)
			if test.get == "" && bytes.Equal(got, item.Data) {
				t.Fatal("the file was not changed")
			}
			if test.get != "" && (err == nil || !strings.Contains(err.Error(), test.get) || !strings.Contains(err.Error(), ".item")) {
				t.Errorf("Get: got %v, want an error that names the file and says %q", err, test.get)
			}
			put(t, f, item)
			if got, err := f.Get(t.Context(), item.ID); err != nil || !bytes.Equal(got, item.Data) {
				t.Errorf("Get after the item was put again: got %d bytes, %v, want it healed", len(got), err)
			}
		})
	}
}

// A disk that is not mounted must not look like an empty archive, and must not
// be filled in its absence.
func TestFolderMissing(t *testing.T) {
	f := &archive.Folder{Dir: filepath.Join(t.TempDir(), "usb")}
	c := storetest.NewChain(t, "missing")
	item := c.Next(t, archive.TypeActions, []byte("x"))
	_, putErr := f.Put(t.Context(), item.Bytes)
	_, findErr := f.Find(t.Context(), c.Query(1, 1))
	_, genesisErr := f.FindGenesis(t.Context(), c.DB)
	_, getErr := f.Get(t.Context(), item.ID)
	_, statusErr := f.Status(t.Context(), item.ID)
	for what, err := range map[string]error{"Put": putErr, "Find": findErr, "FindGenesis": genesisErr, "Get": getErr, "Status": statusErr} {
		if err == nil || !strings.Contains(err.Error(), f.Dir) || !strings.Contains(err.Error(), "mount") {
			t.Errorf("%s: got %v, want an error that names %s and the fix", what, err, f.Dir)
		}
		if errors.Is(err, archive.ErrNotFound) || errors.Is(err, archive.ErrRejected) {
			t.Errorf("%s: got %v, want an error that passes", what, err)
		}
	}
	if _, err := os.Stat(f.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder: got %v, want it not made", err)
	}
}

func TestFolderKeepTellsTheTime(t *testing.T) {
	f := &archive.Folder{Dir: t.TempDir()}
	c := storetest.NewChain(t, "time")
	item := c.Next(t, archive.TypeActions, []byte("x"))
	at := time.Date(2026, 11, 20, 10, 0, 0, 123_456_789, time.UTC)
	first, err := f.Keep(&item, at)
	if want := at.Truncate(time.Millisecond); err != nil || first.Before || !first.At.Equal(want) {
		t.Errorf("Keep: got %+v, %v, want new at %v", first, err, want)
	}
	again, err := (&archive.Folder{Dir: f.Dir}).Keep(&item, at.Add(time.Hour))
	if err != nil || !again.Before || !again.At.Equal(first.At) || again.Path != first.Path {
		t.Errorf("Keep again: got %+v, %v, want what was kept before: %+v", again, err, first)
	}
}

func put(t *testing.T, p archive.Putter, item archive.Item) {
	t.Helper()
	if _, err := p.Put(t.Context(), item.Bytes); err != nil {
		t.Fatalf("Put: %v", err)
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
