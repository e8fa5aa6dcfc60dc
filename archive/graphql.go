package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Dialect is how a bundler takes items, or how an index is asked.
type Dialect string

// The dialects.
const (
	// Bundlr: POST /tx/{currency}, and an index with limit and order.
	// Bundlr and Irys nodes.
	Bundlr Dialect = "bundlr"
	// Turbo: POST /v1/tx/{currency} and GET /v1/tx/{id}/status. It has no index.
	Turbo Dialect = "turbo"
	// Arweave: an index with first, owners and sort. Gateways.
	Arweave Dialect = "arweave"
)

// maxPage bounds an index's answer: 100 items with all the tags they may have.
const maxPage = 8 << 20

// shortestPage is the least that a gateway gives when there is more: 10 is the
// usual page of those that are asked for none.
const shortestPage = 10

// filter is what to ask an index: items with all of these tags, each with one
// of its values, or with these ids, or of these owners.
type filter struct {
	tags   []filterTag
	ids    []string
	owners []string
	block  int64  // in a block of this height or above, if not zero
	after  string // cursor, as the index gave it
	limit  int
}

type filterTag struct {
	name   string
	values []string
}

// text is the query. It has no variables: their types have other names in
// other schemas.
func (f *filter) text(d Dialect, fields string) string {
	var b strings.Builder
	if d == Bundlr {
		fmt.Fprintf(&b, "{transactions(limit:%d,order:ASC", f.limit)
	} else {
		fmt.Fprintf(&b, "{transactions(first:%d,sort:HEIGHT_ASC", f.limit)
	}
	if f.after != "" {
		b.WriteString(",after:" + quote(f.after))
	}
	if f.block != 0 {
		fmt.Fprintf(&b, ",block:{min:%d}", f.block)
	}
	if len(f.ids) > 0 {
		b.WriteString(",ids:" + quoteList(f.ids))
	}
	if len(f.owners) > 0 {
		b.WriteString(",owners:" + quoteList(f.owners))
	}
	if len(f.tags) > 0 {
		b.WriteString(",tags:[")
		for i, t := range f.tags {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString("{name:" + quote(t.name) + ",values:" + quoteList(t.values) + "}")
		}
		b.WriteByte(']')
	}
	cursor := "hasNextPage"
	if d == Bundlr {
		cursor = "hasNextPage endCursor"
	}
	b.WriteString("){pageInfo{" + cursor + "}edges{cursor node{" + fields + "}}}}")
	return b.String()
}

// quote writes a string as GraphQL and JSON both do.
func quote(s string) string {
	b, _ := json.Marshal(s) // a string always has a form
	return string(b)
}

func quoteList(list []string) string {
	b, _ := json.Marshal(list) // strings always have a form
	return string(b)
}

// page is one answer of an index.
type page struct {
	nodes []node
	more  bool   // the index says, or the size of the page suggests, that there is more
	next  string // cursor behind the last node
}

type node struct {
	ID    string `json:"id"`
	Tags  []Tag  `json:"tags"`
	Block *struct {
		Height    int64 `json:"height"`
		Timestamp int64 `json:"timestamp"` // seconds
	} `json:"block"`
	Timestamp json.Number `json:"timestamp"` // milliseconds, of the Bundlr dialect

	Signature, Anchor, Recipient string
	Owner                        struct {
		Key string `json:"key"`
	} `json:"owner"`
}

// index is the GraphQL endpoint of one host.
type index struct {
	http    *Client
	url     string // base
	dialect Dialect
}

// query asks for one page, once.
func (x index) query(ctx context.Context, f filter, fields string) (page, error) {
	body, err := json.Marshal(map[string]string{"query": f.text(x.dialect, fields)})
	if err != nil {
		return page{}, fmt.Errorf("write query: %w", err)
	}
	r := request{http.MethodPost, x.url + "/graphql", "application/json", body}
	a, err := x.http.send(ctx, r, maxPage)
	if err != nil {
		return page{}, err
	}
	return parsePage(a.body, f.limit)
}

// parsePage reads an index's answer. Nodes whose id is none are left out: they
// could not be fetched.
func parsePage(body []byte, limit int) (page, error) {
	var j struct {
		Data *struct {
			Transactions *struct {
				PageInfo struct {
					HasNextPage bool   `json:"hasNextPage"`
					EndCursor   string `json:"endCursor"`
				} `json:"pageInfo"`
				Edges []struct {
					Cursor string `json:"cursor"`
					Node   node   `json:"node"`
				} `json:"edges"`
			} `json:"transactions"`
		} `json:"data"`
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	if err := json.Unmarshal(body, &j); err != nil {
		return page{}, fmt.Errorf("the index's answer: %w", err)
	}
	if len(j.Errors) > 0 {
		return page{}, fmt.Errorf("the index answers: %s", excerpt([]byte(j.Errors[0].Message)))
	}
	if j.Data == nil || j.Data.Transactions == nil {
		return page{}, errors.New("the index's answer has no transactions")
	}
	t := j.Data.Transactions
	// hasNextPage says too little: some gateways lose what a full page cuts
	// off. And too much: some always say it. But one may give short pages.
	full := len(t.Edges) >= limit || t.PageInfo.HasNextPage && len(t.Edges) >= shortestPage
	p := page{more: full, next: t.PageInfo.EndCursor}
	for _, e := range t.Edges {
		if e.Cursor != "" {
			p.next = e.Cursor
		}
		if ValidID(e.Node.ID) {
			p.nodes = append(p.nodes, e.Node)
		}
	}
	return p, nil
}

// tagFilter is the query as tags; the numbers from first to last are spelled out.
func tagFilter(q Query, first, last uint64) []filterTag {
	tags := []filterTag{
		{"DB-ID", []string{q.DB.String()}},
		{"Writer", []string{q.Writer.String()}},
		{"Epoch", []string{strconv.FormatUint(uint64(q.Epoch), 10)}},
	}
	types := filterTag{name: "Type"}
	for _, t := range q.types() {
		types.values = append(types.values, string(t))
	}
	tags = append(tags, types)
	if q.Action != "" {
		tags = append(tags, filterTag{tagAction, []string{q.Action}})
	}
	seqs := filterTag{name: "Seq"}
	for n := range last - first + 1 {
		seqs.values = append(seqs.values, strconv.FormatUint(first+n, 10))
	}
	return append(tags, seqs)
}
