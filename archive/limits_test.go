package archive

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// sparse is n bytes that take no memory until they are read.
func sparse(t *testing.T, n int) []byte {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(int64(n)); err != nil {
		t.Fatal(err)
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(b); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestLimitsOfSize(t *testing.T) {
	t.Run("item", func(t *testing.T) {
		_, err := ParseItem(sparse(t, MaxItem+1))
		checkRefusal(t, err, "bytes, at most")
	})
	t.Run("body to seal", func(t *testing.T) {
		_, err := Seal(KeyFromSeed(recordSeed), actionsHeader(), sparse(t, MaxBody+1))
		checkRefusal(t, err, "over the limit")
	})
	t.Run("stored body", func(t *testing.T) {
		r := sealed(t, actionsHeader(), oneLine)
		raw := sparse(t, len(r.Bytes)+maxPacked)
		copy(raw, r.Bytes)
		_, err := Open(raw)
		checkRefusal(t, err, "over the limit")
	})
}
