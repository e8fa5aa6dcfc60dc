package archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Shelves lists the directories that may hold items, as paths below Dir, in
// no useful order. It ends at the first error.
func (f *Folder) Shelves() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		tops, err := f.list(".")
		if err != nil {
			yield("", err)
			return
		}
		for _, top := range tops {
			depth := 3 // writer, epoch, thousands
			switch {
			case top.Name() == otherDir:
				depth = 1
			case len(top.Name()) != 64 || !top.IsDir():
				continue
			}
			if !f.descend(top.Name(), depth, yield) {
				return
			}
		}
	}
}

// descend yields the directories depth levels below dir. It tells whether to go on.
func (f *Folder) descend(dir string, depth int, yield func(string, error) bool) bool {
	if depth == 0 {
		return yield(dir, nil)
	}
	entries, err := f.list(dir)
	if err != nil {
		yield("", err)
		return false
	}
	for _, entry := range entries {
		if entry.IsDir() && !f.descend(filepath.Join(dir, entry.Name()), depth-1, yield) {
			return false
		}
	}
	return true
}

// Files lists the items of one shelf, as paths below Dir.
func (f *Folder) Files(shelf string) ([]string, error) {
	entries, err := f.list(shelf)
	if err != nil {
		return nil, err
	}
	paths := make([]string, 0, len(entries))
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasSuffix(name, itemSuffix) && ValidID(FileID(name)) {
			paths = append(paths, filepath.Join(shelf, name))
		}
	}
	return paths, nil
}

// list reads a directory below Dir. One that does not exist is empty, but Dir
// must exist.
func (f *Folder) list(dir string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(filepath.Join(f.Dir, dir))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err = os.Stat(f.Dir); err == nil {
			return nil, nil
		}
	}
	if err != nil {
		return nil, f.explain(err)
	}
	return entries, nil
}

// write puts a file in its place, whole or not at all. The directory it is in
// is not synced yet.
func (f *Folder) write(k Kept, raw []byte) error {
	if err := f.makeDirs(filepath.Dir(k.Path)); err != nil {
		return err
	}
	f.sweep.Do(f.removeStale)
	name := filepath.Join(f.Dir, tmpDir, rand.Text()+".part")
	tmp, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if err := fill(tmp, raw, k.At); err != nil {
		tmp.Close()     // the first error is the one to tell
		os.Remove(name) // or removeStale does it
		return err
	}
	return os.Rename(name, filepath.Join(f.Dir, k.Path))
}

// fill writes a file whole and closes it when it is durable.
func fill(file *os.File, raw []byte, at time.Time) error {
	if _, err := file.Write(raw); err != nil {
		return err
	}
	if err := os.Chtimes(file.Name(), at, at); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return file.Close()
}

var errDiffers = errors.New("the file holds something else")

// holds tells when the file was written, if it holds exactly raw.
func holds(path string, raw []byte) (at time.Time, err error) {
	file, err := os.Open(path)
	if err != nil {
		return time.Time{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return time.Time{}, err
	}
	if info.Size() != int64(len(raw)) {
		return time.Time{}, errDiffers
	}
	part := make([]byte, min(len(raw), 64<<10))
	for len(raw) > 0 {
		part = part[:min(len(raw), len(part))]
		if _, err := io.ReadFull(file, part); err != nil {
			return time.Time{}, err
		}
		if !bytes.Equal(part, raw[:len(part)]) {
			return time.Time{}, errDiffers
		}
		raw = raw[len(part):]
	}
	return info.ModTime(), nil
}

// makeDirs makes tmp and a shelf, but never Dir.
func (f *Folder) makeDirs(shelf string) error {
	if err := os.Mkdir(filepath.Join(f.Dir, tmpDir), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.MkdirAll(filepath.Join(f.Dir, shelf), 0o755)
}

// sync makes the entries of a shelf durable, and once per process those of the
// directories above it.
func (f *Folder) sync(shelf string) error {
	if err := syncDir(filepath.Join(f.Dir, shelf)); err != nil {
		return err
	}
	f.mu.Lock()
	known := f.synced[shelf]
	f.mu.Unlock()
	if known {
		return nil
	}
	for dir := shelf; dir != "."; {
		dir = filepath.Dir(dir)
		if err := syncDir(filepath.Join(f.Dir, dir)); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.synced == nil || len(f.synced) >= maxSynced {
		f.synced = make(map[string]bool)
	}
	f.synced[shelf] = true
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// damagedDir holds what SetAside took out of the way. Nothing reads it.
const damagedDir = "damaged"

// SetAside moves the file of an item out of the way, to be looked at by a
// person: it is found no more, and an item of the same id can be put in its
// place. It returns where the file is now. Nothing is ever overwritten.
func (f *Folder) SetAside(ctx context.Context, id string) (string, error) {
	path, err := f.locate(ctx, id)
	if err != nil {
		return "", fmt.Errorf("set aside item %s of %s: %w", id, f.Name(), err)
	}
	if err := os.Mkdir(filepath.Join(f.Dir, damagedDir), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("set aside %s: %w", path, f.explain(err))
	}
	aside := filepath.Join(damagedDir, filepath.Base(path)+"."+rand.Text()[:8])
	if err := os.Rename(filepath.Join(f.Dir, path), filepath.Join(f.Dir, aside)); err != nil {
		return "", fmt.Errorf("set aside %s: %w", path, f.explain(err))
	}
	f.forget(id)
	return filepath.Join(f.Dir, aside), nil
}

// removeStale removes what writes that were interrupted long ago left in tmp.
// It is housekeeping: what it cannot remove harms nobody.
func (f *Folder) removeStale() {
	entries, _ := f.list(tmpDir)
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > 24*time.Hour {
			os.Remove(filepath.Join(f.Dir, tmpDir, entry.Name()))
		}
	}
}

// explain adds what a person can do about it.
func (f *Folder) explain(err error) error {
	var fix string
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		fix = fmt.Sprintf("make room on the disk of %s", f.Dir)
	case errors.Is(err, syscall.EROFS):
		fix = fmt.Sprintf("mount the disk of %s writable", f.Dir)
	case errors.Is(err, fs.ErrPermission):
		fix = fmt.Sprintf("give user %d the right to read and write %s", os.Geteuid(), f.Dir)
	case errors.Is(err, fs.ErrNotExist):
		fix = fmt.Sprintf("mount the disk of %s, or make the folder with mkdir -p", f.Dir)
	default:
		return err
	}
	return fmt.Errorf("%w: %s", err, fix)
}
