package node

import (
	"context"
	"errors"
	"net/http"
	"syscall"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/pgbridge/pgbridge/archive"
)

// refusal is an error with what to answer.
type refusal struct {
	status int
	public string // what the client is told
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// reject makes an error that the client is told as it is.
func reject(status int, err error) error { return &refusal{status, err.Error(), err} }

// refusalOf says what to answer to an error: what is the client's in its own
// words, of ours as much as is of use.
func refusalOf(err error) *refusal {
	r := (*refusal)(nil)
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, archive.ErrNotFound):
		return &refusal{http.StatusNotFound, err.Error(), err}
	case errors.Is(err, errQuery):
		return &refusal{http.StatusBadRequest, err.Error(), err}
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), sqliteCode(err) == sqlite3.SQLITE_FULL:
		return &refusal{http.StatusInsufficientStorage, "the node's disk is full: try again later", err}
	case errors.Is(err, errStore):
		return &refusal{http.StatusServiceUnavailable, "the node cannot write to its folder, see its log: try again later", err}
	case errors.Is(err, context.DeadlineExceeded):
		return &refusal{http.StatusServiceUnavailable, "it takes too long: ask for less", err}
	}
	return &refusal{http.StatusInternalServerError, "the node has a fault, see its log", err}
}

// errStore is a write that failed.
var errStore = errors.New("cannot store")

// fail answers with an error, and logs what is ours.
func (n *Node) fail(w http.ResponseWriter, r *http.Request, err error) {
	answer := refusalOf(err)
	switch {
	case r.Context().Err() != nil: // the client left, or was too slow
	case answer.status >= 500:
		n.log().Error("a request failed", "path", r.URL.Path, "status", answer.status, "error", err)
	default:
		n.log().Debug("a request was refused", "path", r.URL.Path, "status", answer.status, "error", err)
	}
	n.ail(err)
	if answer.status == http.StatusServiceUnavailable || answer.status == http.StatusInsufficientStorage {
		w.Header().Set("Retry-After", "5")
	}
	allow(http.NewResponseController(w), 0)
	http.Error(w, answer.public, answer.status)
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
