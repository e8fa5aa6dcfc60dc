package node

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/archive"
)

// everything lists all items in the order of the index.
func (r *running) everything() []string {
	r.t.Helper()
	var a answer
	r.ask(&a, `{transactions(first:1000,sort:HEIGHT_ASC){edges{node{id}}}}`, nil)
	return a.ids()
}

func (r *running) indexFile() string { return filepath.Join(r.options.Dir, "node", "index.db") }

func TestRestartKeepsEverything(t *testing.T) {
	r := start(t, Options{})
	items := append(chainItems(t, "restart", 5), foreign(t, 1, "x"))
	for _, item := range items {
		r.put(item)
	}
	address := r.Address()
	r = r.restart()
	if got, want := r.everything(), idsOf(items); !slices.Equal(got, want) {
		t.Errorf("items after a restart: got %v, want %v", got, want)
	}
	if r.Address() != address {
		t.Errorf("address after a restart: got %s, want %s", r.Address(), address)
	}
}

// An index that is lost or damaged is built anew, with the same order.
func TestIndexIsRebuilt(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, file string)
	}{
		{"lost", func(t *testing.T, file string) { check(t, os.Remove(file)) }},
		{"empty", func(t *testing.T, file string) { check(t, os.Truncate(file, 0)) }},
		{"cut in half", func(t *testing.T, file string) {
			info, err := os.Stat(file)
			check(t, err)
			check(t, os.Truncate(file, info.Size()/2))
			unclean(t, file)
		}},
		{"overwritten", func(t *testing.T, file string) {
			check(t, os.WriteFile(file, bytes.Repeat([]byte("not a database. "), 1000), 0o600))
		}},
		{"of another version", func(t *testing.T, file string) {
			x, err := openIndex(t.Context(), file)
			check(t, err)
			_, err = x.write.Exec("PRAGMA user_version = 99")
			check(t, errors.Join(err, x.close()))
		}},
		{"without a table", func(t *testing.T, file string) {
			x, err := openIndex(t.Context(), file)
			check(t, err)
			_, err = x.write.Exec("DROP TABLE state")
			check(t, err)
			x.close() // it cannot note that it is clean
		}},
		{"damaged inside, after a crash", func(t *testing.T, file string) {
			scribble(t, file)
			unclean(t, file)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			log := &logged{}
			r := start(t, Options{Log: log.logger()})
			items := append(chainItems(t, "rebuild", 30), foreign(t, 1, "x"))
			for _, item := range items {
				r.put(item)
				until(t, "the clock moves", func() bool { at, err := mtime(r, item); return err == nil && time.Since(at) > 2*time.Millisecond })
			}
			check(t, r.stop())
			test.damage(t, r.indexFile())
			r = start(t, r.options)
			if got, want := r.everything(), idsOf(items); !slices.Equal(got, want) {
				t.Errorf("items: got %v, want %v", got, want)
			}
			if !strings.Contains(log.String(), "items=31") {
				t.Errorf("log: got %s, want it to say that 31 items were indexed", log)
			}
			r.put(items[0])
			r.put(foreign(t, 2, "new"))
			if got := len(r.everything()); got != 32 {
				t.Errorf("items after one more: got %d, want 32", got)
			}
		})
	}
}

func mtime(r *running, item archive.Item) (time.Time, error) {
	info, err := os.Stat(filepath.Join(r.options.Dir, archive.Path(&item)))
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// unclean makes an index file look as a crash leaves it. Where the damage
// prevents that, it will be seen anyway.
func unclean(t *testing.T, file string) {
	t.Helper()
	db := connect(file, "")
	defer db.Close()
	db.Exec("UPDATE state SET clean = 0")
}

// scribble writes over all pages of an index but the first and those that
// are needed to open it.
func scribble(t *testing.T, file string) {
	t.Helper()
	db := connect(file, "")
	var root int64
	check(t, db.QueryRow("SELECT rootpage FROM sqlite_schema WHERE name = 'item'").Scan(&root))
	_, err := db.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
	check(t, errors.Join(err, db.Close()))
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	check(t, err)
	defer f.Close()
	_, err = f.WriteAt(bytes.Repeat([]byte{0xa5}, 4096), (root-1)*4096)
	check(t, err)
}

// Damage that only shows later ends Serve, and the next start heals it.
func TestIndexDamagedWhileServing(t *testing.T) {
	r := start(t, Options{})
	items := chainItems(t, "while", 3)
	for _, item := range items {
		r.put(item)
	}
	check(t, r.stop())
	scribble(t, r.indexFile()) // it was closed cleanly, and nobody reads all of it at the start
	o := r.options
	r = start(t, o)
	if status, _, _ := r.get("/" + items[0].ID); status == 200 {
		t.Fatal("the damage is not where the test wants it")
	}
	if err := r.stop(); !errors.Is(err, errDamaged) {
		t.Errorf("Serve: got %v, want errDamaged", err)
	}
	r = start(t, o)
	if got, want := r.everything(), idsOf(items); !slices.Equal(got, want) {
		t.Errorf("items after the next start: got %v, want %v", got, want)
	}
}

// Items that were put into the folder while no node was running are served,
// those that are damaged are told of, until they are replaced.
func TestFilesAreFound(t *testing.T) {
	log := &logged{}
	r := start(t, Options{Log: log.logger()})
	r.put(foreign(t, 1, "before"))
	check(t, r.stop())

	folder := &archive.Folder{Dir: r.options.Dir}
	items := chainItems(t, "found", 4)
	for _, item := range items {
		_, err := folder.Put(t.Context(), item.Bytes)
		check(t, err)
	}
	bad := filepath.Join(folder.Dir, archive.Path(&items[1]))
	check(t, os.WriteFile(bad, items[1].Bytes[:len(items[1].Bytes)-1], 0o644))
	wrong := filepath.Join(folder.Dir, archive.Path(&items[2]))
	check(t, os.Rename(wrong, strings.Replace(wrong, "-actions-", "-ack-", 1)))

	r = start(t, r.options)
	if got := len(r.everything()); got != 3 {
		t.Errorf("items: got %d, want the one before and two good ones", got)
	}
	for _, name := range []string{filepath.Base(bad), "-ack-", "damaged=2"} {
		if !strings.Contains(log.String(), name) {
			t.Errorf("log: got %s, want it to name %s", log, name)
		}
	}
	if status, _, _ := r.get("/" + items[1].ID); status != 404 {
		t.Errorf("the damaged item: got %d, want 404", status)
	}
	check(t, os.WriteFile(bad, items[1].Bytes, 0o644)) // in place: the directory does not change
	r = r.restart()
	if status, got, _ := r.get("/" + items[1].ID); status != 200 || !bytes.Equal(got, items[1].Data) {
		t.Errorf("the replaced item: got %d, want 200", status)
	}
}

// A start does not look into directories that have not changed.
func TestUnchangedShelvesAreNotRead(t *testing.T) {
	dir := newDir(t)
	folder := &archive.Folder{Dir: dir}
	items := chainItems(t, "unchanged", 2)
	_, err := folder.Put(t.Context(), items[0].Bytes)
	check(t, err)
	shelf := filepath.Dir(filepath.Join(dir, archive.Path(&items[0])))
	long := time.Now().Add(-time.Hour)
	check(t, os.Chtimes(shelf, long, long))
	r := start(t, Options{Dir: dir})
	check(t, r.stop())

	_, err = folder.Put(t.Context(), items[1].Bytes)
	check(t, err)
	check(t, os.Chtimes(shelf, long, long)) // as if nothing had happened
	r = start(t, r.options)
	if got := len(r.everything()); got != 1 {
		t.Errorf("items with an unchanged directory: got %d, want 1", got)
	}
	check(t, r.stop())
	later := long.Add(time.Minute)
	check(t, os.Chtimes(shelf, later, later))
	r = start(t, r.options)
	if got := len(r.everything()); got != 2 {
		t.Errorf("items with a changed directory: got %d, want 2", got)
	}
}

func TestOneNodePerFolder(t *testing.T) {
	r := start(t, Options{})
	if n, err := Open(t.Context(), Options{Dir: r.options.Dir}); err == nil || !strings.Contains(err.Error(), "another node") {
		t.Errorf("a second node: got %v, %v, want an error", n, err)
	}
	check(t, r.stop())
	r = start(t, r.options)
	r.put(foreign(t, 1, "x"))
}

func TestKeyIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	n, err := Open(t.Context(), Options{Dir: dir})
	check(t, err)
	file := filepath.Join(dir, "node", "key.pem")
	info, err := os.Stat(file)
	check(t, err)
	if mode := info.Mode().Perm(); mode != 0o600 || n.key.N.BitLen() != 4096 {
		t.Errorf("key: got mode %04o and %d bits, want 0600 and 4096", mode, n.key.N.BitLen())
	}
	address := n.Address()
	check(t, n.Close())
	n, err = Open(t.Context(), Options{Dir: dir})
	check(t, err)
	if n.Address() != address || !archive.ValidID(address) {
		t.Errorf("address: got %s after %s", n.Address(), address)
	}
	check(t, n.Close())
	for _, text := range []string{"", "garbage", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		check(t, os.WriteFile(file, []byte(text), 0o600))
		if _, err := Open(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "key.pem is damaged") {
			t.Errorf("key file %q: got %v, want an error that names it", text, err)
		}
	}
}

func TestOddNamesOfFolders(t *testing.T) {
	parent := t.TempDir()
	t.Chdir(parent)
	for _, name := range []string{"relative", "./with space", "a?b=c&d", "100%41", "#x", "ünï"} {
		check(t, os.CopyFS(name, os.DirFS(newDir(t))))
		check(t, os.Chmod(filepath.Join(name, "node", "key.pem"), 0o600))
		r := start(t, Options{Dir: name})
		item := foreign(t, 1, "x")
		r.put(item)
		r = r.restart()
		if status, _, _ := r.get("/" + item.ID); status != 200 {
			t.Errorf("folder %q: got %d, want 200", name, status)
		}
		if _, err := os.Stat(filepath.Join(parent, name, "node", "index.db")); err != nil {
			t.Errorf("folder %q: its index: %v", name, err)
		}
		check(t, r.stop())
	}
}

func TestOpenInNoFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "no", "such")
	if _, err := Open(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("Open: got %v, want an error that names %s", err, dir)
	}
	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, nil, 0o600))
	if _, err := Open(t.Context(), Options{Dir: file}); err == nil || !strings.Contains(fmt.Sprint(err), file) {
		t.Errorf("Open of a file: got %v, want an error that names it", err)
	}
}
