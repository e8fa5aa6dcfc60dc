package archive

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestFolderErrorsTellTheFix(t *testing.T) {
	f := &Folder{Dir: "/srv/archive"}
	for _, test := range []struct {
		err  error
		want string
	}{
		{&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, "make room on the disk of /srv/archive"},
		{&os.PathError{Op: "write", Path: "x", Err: syscall.EDQUOT}, "make room on the disk of /srv/archive"},
		{&os.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, "mount the disk of /srv/archive writable"},
		{&os.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, "the right to read and write /srv/archive"},
		{&os.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, "mount the disk of /srv/archive"},
	} {
		got := f.explain(test.err)
		if !errors.Is(got, test.err) || !strings.Contains(got.Error(), test.want) {
			t.Errorf("explain %v: got %q, want it to say %q", test.err, got, test.want)
		}
	}
}

func TestFillFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if err := fill(full, []byte("x"), time.Now()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("fill a full disk: got %v, want ENOSPC", err)
	}
}

// FuzzParsePath: what is read as the path of a record is written again as the
// same path.
func FuzzParsePath(f *testing.F) {
	id := strings.Repeat("A", 43)
	good := refPath(Ref{ID: id, Type: TypeActions, Epoch: 1, Seq: 2500})
	for _, seed := range []string{good, "other/AA/" + id + ".item", strings.Replace(good, "0000-a", "000-a", 1), good + ".part", "../" + good, ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		ref, err := parsePath(path)
		if (path == good) && err != nil {
			t.Errorf("parsePath of what refPath wrote: %v", err)
		}
		if err == nil && refPath(ref) != path {
			t.Errorf("parsePath(%q): got %+v, which is written %q", path, ref, refPath(ref))
		}
	})
}
