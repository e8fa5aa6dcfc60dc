package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/pgbridge/pgbridge/archive"
)

// receiptVersion is the version of receipts that all clients know.
const receiptVersion = "1.0.0"

// receipt is the answer to an upload, in one the forms of Bundlr, Irys and
// Turbo. Only the promise is signed. There are no blocks here, so the height
// by which the item will be in one is 0: it is where it will be.
type receipt struct {
	archive.Promise
	Winc                string   `json:"winc"`
	Owner               string   `json:"owner"`
	DataCaches          []string `json:"dataCaches"`
	FastFinalityIndexes []string `json:"fastFinalityIndexes"`
}

// upload serves POST /tx and its like. A receipt is given when the item is on
// the disk, synced, and can be found. The same bytes again have the same
// answer, 200 and a receipt: 201, which Bundlr gave, makes the clients of Irys
// throw and those of Turbo try again, and 202 is no receipt.
//
//	400  not an item, its signature is wrong, or another content type
//	408  it came too slowly
//	413  over the limit
//	503  too many at once, or the folder cannot be written: try again
//	507  the disk is full: try again later
func (n *Node) upload(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	raw, release, err := n.receive(r.Context(), rc, r)
	defer release()
	if err != nil {
		n.fail(w, r, err)
		return
	}
	item, err := archive.ParseItem(raw)
	if err != nil {
		n.fail(w, r, reject(http.StatusBadRequest, err))
		return
	}
	// A client that leaves now does not stop it: the work is nearly done.
	answer, err := n.keep(context.WithoutCancel(r.Context()), &item)
	if err != nil {
		n.fail(w, r, err)
		return
	}
	allow(rc, 0)
	writeJSON(w, answer)
}

// keep makes the item durable, then findable, then promises it.
func (n *Node) keep(ctx context.Context, item *archive.Item) (receipt, error) {
	now := time.Now()
	signed := make(chan error, 1) // a receipt takes as long as a slow disk: sign meanwhile
	var p archive.Promise
	go func() {
		var err error
		p, err = n.promise(item.ID, now)
		signed <- err
	}()
	kept, err := n.folder.Keep(item, now)
	signErr := <-signed
	if err != nil {
		return receipt{}, fmt.Errorf("%w: %w", errStore, err)
	}
	if kept.Before && signErr == nil {
		p, signErr = n.promise(item.ID, kept.At)
	}
	if signErr != nil {
		return receipt{}, signErr
	}
	if err := n.index.add(ctx, entryOf(item, kept.At)); err != nil {
		return receipt{}, fmt.Errorf("%w: %w", errStore, err)
	}
	return receipt{Promise: p, Winc: "0", Owner: item.NativeAddress(), DataCaches: []string{}, FastFinalityIndexes: []string{}}, nil
}

func (n *Node) promise(id string, at time.Time) (archive.Promise, error) {
	return archive.SignReceipt(n.key, archive.Promise{ID: id, Timestamp: at.UnixMilli(), Version: receiptVersion})
}

// How much memory an upload has before it has sent anything: as much as it
// announces, up to firstPiece; unknownPiece if it announces nothing.
const (
	firstPiece   = 5 << 20 // an item around 4 MiB
	unknownPiece = 64 << 10
)

var errBusy = reject(http.StatusServiceUnavailable, errors.New("too many uploads at once: try again"))

// receive reads an upload. What can be refused before the body is, and no
// memory is taken on the word of a header: it grows with what has arrived, and
// that of all uploads together is bounded. release gives it back.
func (n *Node) receive(ctx context.Context, rc *http.ResponseController, r *http.Request) (raw []byte, release func(), err error) {
	nothing := func() {}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/octet-stream" {
		return nil, nothing, reject(http.StatusBadRequest, fmt.Errorf("content type %.50q: want application/octet-stream, with the bytes of a signed data item", r.Header.Get("Content-Type")))
	}
	limit := n.options.MaxItem
	if r.ContentLength > limit {
		return nil, nothing, tooLarge(limit)
	}
	if r.ContentLength >= 0 {
		limit = r.ContentLength
	}
	waiting, cancel := context.WithTimeout(ctx, patience/3)
	defer cancel()
	if n.uploads.Acquire(waiting, 1) != nil {
		return nil, nothing, errBusy
	}
	b := body{memory: n.memory, limit: limit, began: time.Now()}
	release = func() {
		n.memory.Release(b.held)
		n.uploads.Release(1)
	}
	piece := min(limit, firstPiece)
	if r.ContentLength < 0 {
		piece = min(limit, unknownPiece)
	}
	if n.memory.Acquire(waiting, piece) != nil {
		return nil, release, errBusy
	}
	b.held, b.bytes = piece, make([]byte, 0, piece)
	if err := b.readAll(rc, r.Body); err != nil {
		return nil, release, err
	}
	rc.SetReadDeadline(time.Time{})
	return b.bytes, release, nil
}

func tooLarge(limit int64) error {
	return reject(http.StatusRequestEntityTooLarge, fmt.Errorf("over the limit of %d bytes for one item", limit))
}

// body is an upload as far as it has arrived.
type body struct {
	bytes  []byte
	held   int64 // of memory
	memory *semaphore.Weighted
	limit  int64
	began  time.Time
}

// grow makes room for more, if there is memory: who holds some must not wait
// for more.
func (b *body) grow() bool {
	size := min(b.limit, 2*int64(cap(b.bytes)))
	if !b.memory.TryAcquire(size - b.held) {
		return false
	}
	b.held = size
	larger := make([]byte, len(b.bytes), size)
	copy(larger, b.bytes)
	b.bytes = larger
	return true
}

// readAll reads until the end, or the limit, which is an error if more comes.
// Who sends more slowly than slowest is cut off.
func (b *body) readAll(rc *http.ResponseController, from io.Reader) error {
	for {
		rc.SetReadDeadline(b.began.Add(patience + moving(int64(len(b.bytes))))) // fails in tests without a connection only
		room := b.bytes[len(b.bytes):cap(b.bytes)]
		if len(room) == 0 && int64(cap(b.bytes)) < b.limit {
			if !b.grow() {
				return errBusy
			}
			continue
		}
		var last [1]byte
		if len(room) == 0 {
			room = last[:]
		}
		count, err := from.Read(room)
		if int64(len(b.bytes)+count) > b.limit {
			return tooLarge(b.limit)
		}
		b.bytes = b.bytes[:len(b.bytes)+count]
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return reject(http.StatusRequestTimeout, errors.New("the upload came too slowly"))
		case err != nil:
			return reject(http.StatusBadRequest, fmt.Errorf("the upload broke off: %w", err))
		}
	}
}
