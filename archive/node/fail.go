package node

import (
	"context"
	"errors"
	"net/http"
	"syscall"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/pgbridge/pgbridge/archive"
)

// fail answers with an error: what is the client's in its words, what is ours
// in the log.
func (n *Node) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	text := err.Error()
	if status == http.StatusInternalServerError {
		text = "the node has a fault, see its log"
	}
	switch {
	case r.Context().Err() != nil: // the client left, or was too slow
	case status >= 500:
		n.log().Error("a request failed", "path", r.URL.Path, "error", err)
	default:
		n.log().Debug("a request was refused", "path", r.URL.Path, "status", status, "error", err)
	}
	n.ail(err)
	if status == http.StatusServiceUnavailable || status == http.StatusInsufficientStorage {
		w.Header().Set("Retry-After", "5")
	}
	allow(http.NewResponseController(w), 0)
	http.Error(w, text, status)
}

// ail ends Serve if the index is damaged: the next start builds it anew.
func (n *Node) ail(err error) {
	if errors.Is(err, errDamaged) {
		select {
		case n.broken <- err:
		default: // is known
		}
	}
}

func statusOf(err error) int {
	var r *refusal
	switch {
	case errors.As(err, &r):
		return r.status
	case errors.Is(err, archive.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, errQuery):
		return http.StatusBadRequest
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), sqliteCode(err) == sqlite3.SQLITE_FULL:
		return http.StatusInsufficientStorage
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
