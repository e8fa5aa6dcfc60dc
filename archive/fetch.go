package archive

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// signatureLine is the length of the second line of a record.
const signatureLine = 86 + len("\n")

// Get fetches what is under id, without looking at it: at most as much as a
// record may be long. To refuse a stranger's gigabyte, use Multi.Fetch.
func (g *Gateway) Get(ctx context.Context, id string) ([]byte, error) {
	return g.fetch(ctx, id, nil)
}

// fetch is Get that shows accept the head of the record (header and signature,
// checked) before the body is read, and reads no more than the header allows.
// It wraps ErrForged for what is no record, or not accepted.
func (g *Gateway) fetch(ctx context.Context, id string, accept func(*Record) error) (raw []byte, err error) {
	if !ValidID(id) {
		return nil, fmt.Errorf("get from %s: %w: %.50q is no item id", g.Name(), ErrNotFound, id)
	}
	base, c := baseURL(g.URL), g.HTTP.orShared()
	// A gateway's /{id} may lead to a host of its own for each item; /raw/{id} does not.
	paths := [...]string{base + "/raw/" + id, base + "/" + id}
	if g.Dialect == Bundlr {
		paths[0] = base + "/tx/" + id + "/data"
	}
	for _, path := range paths {
		err = c.retry(ctx, path, func() error {
			return c.exchange(ctx, request{method: http.MethodGet, url: path}, func(res *http.Response, p *pace) (err error) {
				if res.StatusCode != http.StatusOK {
					return ErrNotFound // 202: known, and not there yet
				}
				raw, err = readRecord(pacedReader{p, res.Body}, res.ContentLength, accept)
				return err
			})
		})
		if err == nil {
			return raw, nil
		}
		if !absent(err) {
			break
		}
	}
	if absent(err) {
		err = ErrNotFound
	}
	return nil, fmt.Errorf("get item %s from %s: %w", id, g.Name(), err)
}

// absent tells whether an answer means that the item is not there. A redirect
// to another host is none that could be followed.
func absent(err error) bool {
	if f := (*fault)(nil); errors.As(err, &f) {
		return f.code == http.StatusNotFound || f.code == http.StatusGone || f.code/100 == 3
	}
	return errors.Is(err, ErrNotFound)
}

func readRecord(r io.Reader, length int64, accept func(*Record) error) ([]byte, error) {
	if accept == nil {
		return readAll(r, length, MaxRecord)
	}
	b := bufio.NewReaderSize(r, MaxHeader+signatureLine)
	head, err := b.Peek(MaxHeader + signatureLine)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	record, err := openHead(head)
	if err == nil {
		err = accept(&record)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForged, err)
	}
	size := record.Header.Size // compressed and encrypted it is hardly more
	raw, err := readAll(b, length, int64(len(head)+size+size/64+1<<16))
	if err != nil && !transient(err) {
		return nil, fmt.Errorf("%w: %w", ErrForged, err)
	}
	return raw, err
}

// openHead is Open without the body, of which any part may follow.
func openHead(head []byte) (Record, error) {
	line, signature, _, err := split(head)
	if err != nil {
		return Record{}, err
	}
	h, err := parseHeader(line)
	if err != nil {
		return Record{}, err
	}
	if err := verifyEd25519(h.Writer[:], append([]byte(signedPrefix), line...), signature); err != nil {
		return Record{}, fmt.Errorf("record %d of writer %s: %w", h.Seq, h.Writer, err)
	}
	return Record{Header: h, Digest: sha256.Sum256(line)}, nil
}
