package node

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/pgbridge/pgbridge/archive"
)

// data serves the data of an item, also in ranges.
func (n *Node) data(w http.ResponseWriter, r *http.Request) {
	n.serveItem(w, r, func(e *entry) (at, size int64, contentType string) {
		return e.dataAt, e.dataSize(), e.contentType()
	})
}

// item serves the whole signed item.
func (n *Node) item(w http.ResponseWriter, r *http.Request) {
	n.serveItem(w, r, func(e *entry) (at, size int64, contentType string) {
		return 0, e.size, "application/octet-stream"
	})
}

func (n *Node) serveItem(w http.ResponseWriter, r *http.Request, part func(*entry) (at, size int64, contentType string)) {
	e, err := n.index.lookup(r.Context(), r.PathValue("id"))
	if err != nil {
		n.fail(w, r, err)
		return
	}
	file, err := n.openFile(&e)
	if err != nil {
		n.fail(w, r, err)
		return
	}
	defer file.Close()
	at, size, contentType := part(&e)
	if _, _, err := mime.ParseMediaType(contentType); err != nil {
		contentType = "application/octet-stream"
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("ETag", `"`+e.id+`"`)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	// Strangers wrote this: no browser may run it as a page of ours.
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	allow(http.NewResponseController(w), size)
	http.ServeContent(w, r, "", e.at, io.NewSectionReader(file, at, size))
}

// openFile opens an item's file, if it is what the index says.
func (n *Node) openFile(e *entry) (*os.File, error) {
	path := e.path()
	file, err := os.Open(filepath.Join(n.options.Dir, path))
	if err != nil {
		n.log().Error("the file of an item cannot be read: copy it from another archive", "item", e.id, "file", path, "error", err)
		return nil, fmt.Errorf("item %s: its file is gone: %w", e.id, archive.ErrNotFound)
	}
	info, err := file.Stat()
	if err == nil && info.Size() != e.size {
		err = fmt.Errorf("%d bytes, want %d", info.Size(), e.size)
	}
	if err != nil {
		file.Close() // only read
		n.log().Error("the file of an item is damaged: copy it from another archive", "item", e.id, "file", path, "error", err)
		return nil, fmt.Errorf("item %s: its file is damaged: %w", e.id, archive.ErrNotFound)
	}
	return file, nil
}

// Patience with a client: so long for an answer, and more for what moves, at
// the slowest rate that is put up with.
const (
	patience = 30 * time.Second
	slowest  = 64 << 10 // bytes a second
)

func moving(bytes int64) time.Duration { return time.Duration(bytes) * time.Second / slowest }

// allow gives a client the time to take so many bytes. A connection without
// deadlines is none of ours.
func allow(rc *http.ResponseController, bytes int64) {
	rc.SetWriteDeadline(time.Now().Add(patience + moving(bytes)))
}
