package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pgbridge/pgbridge/action"
)

// Gateway finds and fetches items at one gateway, or at a bundler's own index.
// It trusts neither: it asks by explicit numbers, never for "what is new", and
// what the index says of an item is handed on as it is. Its methods may be
// called concurrently; they try again what may pass (Client.Retry).
type Gateway struct {
	// URL is where the gateway is; a user and a password in it are sent as
	// basic authorization and never shown.
	URL string
	// Dialect of the index: Arweave if empty, or Bundlr.
	Dialect Dialect
	// Owners are the addresses of the wallets that wrap the items, where that
	// is not the writer's key. They are only asked for when a page is full,
	// which is when strangers post items that carry our tags.
	Owners []string
	// HTTP is the client to use. Nil shares one with the defaults.
	HTTP *Client

	node string // name of the Node that it is a part of
}

// pageSize is what every gateway that was tried gives in one page. It is twice
// the numbers asked for, so that a full page means strangers or duplicates.
const pageSize = 100

// maxAsks bounds the requests of one Find, maxPages how far one question is
// followed from page to page: strangers can fill an index, and it may lie.
const (
	maxAsks  = 64
	maxPages = 10
)

// Name is the URL that OpenURL takes, without secrets and keys.
func (g *Gateway) Name() string {
	if g.node != "" {
		return g.node
	}
	return "gateway+" + displayURL(g.URL)
}

func (g *Gateway) index() index {
	d := g.Dialect
	if d == "" {
		d = Arweave
	}
	return index{g.HTTP.orShared(), baseURL(g.URL), d}
}

// Find asks for q in pieces that fit half a page. When a page comes back full,
// it asks for the owners' own items of it, and then, low numbers first, for its
// halves; a single number is followed from page to page. What it has found when
// that takes too many requests is its answer: as much again is found from there.
func (g *Gateway) Find(ctx context.Context, q Query) ([]Ref, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	s := search{gateway: g, query: q, found: refSet{}, asks: maxAsks}
	err := s.run(ctx)
	if errors.Is(err, errEnough) {
		s.gateway.HTTP.orShared().log().Warn("the index is full of items with our tags, not all were looked at",
			"archive", g.Name(), "first", q.First, "last", q.Last)
	} else if err != nil {
		return nil, fmt.Errorf("find records %d to %d at %s: %w", q.First, q.Last, g.Name(), err)
	}
	return s.found.matching(q), nil
}

// search is one Find under way.
type search struct {
	gateway *Gateway
	query   Query
	found   refSet
	asks    int // requests left
}

var errEnough = errors.New("too many requests for one question")

// run asks for all numbers once before it looks closer at any.
func (s *search) run(ctx context.Context) error {
	var closer []func() error
	for first, end := s.query.First, false; !end; first += pageSize / 2 {
		last := first + min(s.query.Last-first, pageSize/2-1)
		end = last == s.query.Last
		f := filter{tags: tagFilter(s.query, first, last), limit: pageSize}
		p, err := s.ask(ctx, f)
		if err != nil {
			return err
		}
		if !p.more {
			continue
		}
		if err := s.askOwn(ctx, f); err != nil {
			return err
		}
		closer = append(closer, func() error { return s.narrow(ctx, f, p, first, last) })
	}
	for _, look := range closer {
		if err := look(); err != nil {
			return err
		}
	}
	return nil
}

// askOwn leaves the strangers out.
func (s *search) askOwn(ctx context.Context, f filter) error {
	if s.gateway.Dialect == Bundlr {
		return nil // its owners are native addresses
	}
	f.owners = append([]string{Address(s.query.Writer[:])}, s.gateway.Owners...)
	_, err := s.ask(ctx, f)
	return err
}

// narrow goes on after a full page.
func (s *search) narrow(ctx context.Context, f filter, p page, first, last uint64) error {
	if first == last {
		return follow(f, p, func(f filter) (page, error) { return s.ask(ctx, f) })
	}
	middle := first + (last-first)/2
	for _, half := range [...][2]uint64{{first, middle}, {middle + 1, last}} {
		f.tags = tagFilter(s.query, half[0], half[1])
		p, err := s.ask(ctx, f)
		if err == nil && p.more {
			err = s.narrow(ctx, f, p, half[0], half[1])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *search) ask(ctx context.Context, f filter) (page, error) {
	if s.asks--; s.asks < 0 {
		return page{}, errEnough
	}
	return s.gateway.collect(ctx, f, s.found)
}

// follow asks for the pages after p, as long as there are any.
func follow(f filter, p page, ask func(filter) (page, error)) (err error) {
	for n := 1; n < maxPages && p.more && p.next != "" && p.next != f.after; n++ {
		f.after = p.next
		if p, err = ask(f); err != nil {
			return err
		}
	}
	return nil
}

// FindGenesis asks for the genesis by the db-id, which is also its digest.
func (g *Gateway) FindGenesis(ctx context.Context, db action.Digest) ([]Ref, error) {
	f := filter{limit: pageSize, tags: []filterTag{
		{"DB-ID", []string{db.String()}},
		{"Type", []string{string(TypeGenesis)}},
	}}
	found := refSet{}
	p, err := g.collect(ctx, f, found)
	if err == nil {
		err = follow(f, p, func(f filter) (page, error) { return g.collect(ctx, f, found) })
	}
	if err != nil {
		return nil, fmt.Errorf("find genesis %s at %s: %w", db, g.Name(), err)
	}
	return found.genesis(db), nil
}

// collect adds one page to found.
func (g *Gateway) collect(ctx context.Context, f filter, found refSet) (p page, err error) {
	x := g.index()
	err = x.http.retry(ctx, x.url, func() error {
		p, err = x.query(ctx, f, refFields)
		return err
	})
	found.add(p.nodes)
	return p, err
}

const refFields = "id tags{name value}"

// refSet holds what an index said: an item once, unless it said different things.
type refSet map[Ref]struct{}

func (s refSet) add(nodes []node) {
	for _, n := range nodes {
		// What is not ours, or has lost its tags, answers no question.
		if ref, err := ParseRef(n.ID, n.Tags); err == nil {
			s[ref] = struct{}{}
		}
	}
}

// matching are those that q asked for: an index may answer anything.
func (s refSet) matching(q Query) []Ref {
	var refs []Ref
	for ref := range s {
		if q.matches(ref) {
			refs = append(refs, ref)
		}
	}
	return refs
}

func (s refSet) genesis(db action.Digest) []Ref {
	var refs []Ref
	for ref := range s {
		if ref.DB == db && ref.Type == TypeGenesis {
			refs = append(refs, ref)
		}
	}
	return refs
}

// check refuses a query that is none.
func (q Query) check() error {
	if q.First == 0 || q.Last < q.First || q.Last-q.First >= MaxWindow {
		return fmt.Errorf("find records %d to %d: want 1 to %d numbers from 1 on", q.First, q.Last, MaxWindow)
	}
	return nil
}

// matches tells whether ref claims to be what q asks for.
func (q Query) matches(ref Ref) bool {
	return ref.DB == q.DB && ref.Writer == q.Writer && ref.Epoch == q.Epoch && q.First <= ref.Seq && ref.Seq <= q.Last &&
		slices.Contains(q.types(), ref.Type)
}

// types are the types that q asks for.
func (q Query) types() []Type {
	if q.Type == "" {
		return chainTypes
	}
	return []Type{q.Type}
}
