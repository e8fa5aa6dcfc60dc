package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// Item fetches a whole item of at most limit bytes of data, and checks its
// signature and its id, so that its tags and data are what its owner signed. It
// wraps ErrNotFound where the archive does not have it, or not all of it, and
// ErrForged for what is not the item, or is larger.
//
// Gateways do not hand out items: this one is put together from what the index
// says of it and from its data, and the signature proves that they belong
// together. An index in the Bundlr dialect does not say enough for that; only
// pgbridge's own node gives the item itself.
func (g *Gateway) Item(ctx context.Context, id string, limit int) (Item, error) {
	if g.Dialect == Bundlr {
		return g.wholeItem(ctx, id, limit)
	}
	item, err := g.rebuild(ctx, id, limit)
	return item, g.about(id, err)
}

// Item fetches the item as the node keeps it: see Gateway.Item.
func (n *Node) Item(ctx context.Context, id string, limit int) (Item, error) {
	return n.gateway().wholeItem(ctx, id, limit)
}

// Item reads the item: see Gateway.Item.
func (f *Folder) Item(ctx context.Context, id string, limit int) (Item, error) {
	raw, err := f.whole(ctx, id, limit)
	if err != nil {
		return Item{}, fmt.Errorf("get item %s from %s: %w", id, f.Name(), err)
	}
	item, err := checkItem(raw, id, limit)
	if err != nil {
		return Item{}, fmt.Errorf("get item %s from %s: %w", id, f.Name(), err)
	}
	return item, nil
}

func (f *Folder) whole(ctx context.Context, id string, limit int) ([]byte, error) {
	path, err := f.locate(ctx, id)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(filepath.Join(f.Dir, path))
	if err != nil {
		return nil, f.explain(err)
	}
	defer file.Close()
	return readHead(file, limit+maxHead+1)
}

// readHead reads the first bytes of r, or all.
func readHead(r io.Reader, most int) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, int64(most)))
}

// checkItem is ParseItem of what was served as id.
func checkItem(raw []byte, id string, limit int) (Item, error) {
	if len(raw) > limit+maxHead {
		return Item{}, fmt.Errorf("%w: it has more than %d bytes of data", ErrForged, limit)
	}
	item, err := ParseItem(raw)
	switch {
	case err != nil:
		return Item{}, fmt.Errorf("%w: %w", ErrForged, err)
	case item.ID != id:
		return Item{}, fmt.Errorf("%w: it is item %s", ErrForged, item.ID)
	case len(item.Data) > limit:
		return Item{}, fmt.Errorf("%w: it has more than %d bytes of data", ErrForged, limit)
	}
	return item, nil
}

// about says what an error is about.
func (g *Gateway) about(id string, err error) error {
	if err == nil {
		return nil
	}
	if absent(err) {
		err = ErrNotFound
	}
	return fmt.Errorf("get item %s from %s: %w", id, g.Name(), err)
}

// wholeItem asks as pgbridge's own node answers.
func (g *Gateway) wholeItem(ctx context.Context, id string, limit int) (Item, error) {
	raw, err := g.download(ctx, "/item/", id, limit+maxHead)
	if err != nil {
		return Item{}, g.about(id, err)
	}
	item, err := checkItem(raw, id, limit)
	return item, g.about(id, err)
}

// download fetches what is at path, of at most limit bytes: ErrForged if it is longer.
func (g *Gateway) download(ctx context.Context, path, id string, limit int) (raw []byte, err error) {
	if !ValidID(id) {
		return nil, fmt.Errorf("%w: %.50q is no item id", ErrNotFound, id)
	}
	c, r := g.HTTP.orShared(), request{method: http.MethodGet, url: baseURL(g.URL) + path + id}
	err = c.retry(ctx, r.url, func() error {
		return c.exchange(ctx, r, func(res *http.Response, p *pace) error {
			if res.StatusCode != http.StatusOK {
				return ErrNotFound // 202: known, and not there yet
			}
			raw, err = readAll(pacedReader{p, res.Body}, res.ContentLength, int64(limit))
			if err != nil && !transient(err) {
				return fmt.Errorf("%w: %w", ErrForged, err)
			}
			return err
		})
	})
	return raw, err
}

// rebuild puts an item together.
func (g *Gateway) rebuild(ctx context.Context, id string, limit int) (Item, error) {
	if !ValidID(id) {
		return Item{}, fmt.Errorf("%w: %.50q is no item id", ErrNotFound, id)
	}
	n, err := g.parts(ctx, id)
	if err != nil {
		return Item{}, err
	}
	// A gateway's /{id} may lead to a host of its own for each item; /raw/{id} does not.
	data, err := g.download(ctx, "/raw/", id, limit)
	if absent(err) {
		data, err = g.download(ctx, "/", id, limit)
	}
	if err != nil {
		return Item{}, err
	}
	l, types, err := n.layout(data)
	if err != nil {
		return Item{}, fmt.Errorf("%w: what the index says of it: %w", ErrForged, err)
	}
	for _, l.SigType = range types {
		item, failed := checkItem(l.encode(), id, limit)
		if failed == nil {
			return item, nil
		}
		err = failed
	}
	return Item{}, err
}

// parts asks what the index knows of an item.
func (g *Gateway) parts(ctx context.Context, id string) (n node, err error) {
	var p page
	x := g.index()
	err = x.http.retry(ctx, x.url, func() error {
		p, err = x.query(ctx, filter{ids: []string{id}, limit: 1}, "id signature anchor recipient owner{key} tags{name value}")
		return err
	})
	if err != nil {
		return node{}, err
	}
	for _, n := range p.nodes {
		if n.ID == id {
			return n, nil
		}
	}
	return node{}, ErrNotFound
}

// layout is the item that the index describes, and the types of signature that
// it may have by the lengths of key and signature.
func (n *node) layout(data []byte) (l layout, types []uint16, err error) {
	for _, part := range []struct {
		name, text string
		to         *[]byte
	}{{"signature", n.Signature, &l.signature}, {"owner", n.Owner.Key, &l.Owner}, {"recipient", n.Recipient, &l.Target}, {"anchor", n.Anchor, &l.Anchor}} {
		if *part.to, err = decodeBase64(part.text); err != nil {
			return l, nil, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	for sigType := SigArweave; sigType <= SigSolana; sigType++ {
		signature, owner, _ := keySizes(sigType) // all of these are known
		if len(l.signature) == signature && len(l.Owner) == owner {
			types = append(types, sigType)
		}
	}
	switch {
	case len(types) == 0:
		return l, nil, errors.New("signature and owner have the lengths of no known type")
	case len(l.Target) != 0 && len(l.Target) != 32, len(l.Anchor) != 0 && len(l.Anchor) != 32:
		return l, nil, errors.New("recipient and anchor have 32 bytes, or none")
	}
	if l.tagBytes, err = appendTags(nil, n.Tags); err != nil {
		return l, nil, fmt.Errorf("tags: %w", err)
	}
	l.Tags, l.Data = n.Tags, data
	return l, types, nil
}
