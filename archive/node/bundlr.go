package node

import (
	"context"
	"fmt"

	"github.com/graph-gophers/graphql-go"

	"github.com/pgbridge/pgbridge/archive"
)

// bundlrTypes is the schema of Bundlr and Irys nodes. Times are milliseconds.
const bundlrTypes = `
type Query {
	transactions(ids: [String!], after: String, currency: String, token: String, owners: [String!], limit: Int, first: Int,
		order: SortOrder = DESC, hasTags: Boolean, tags: [TagFilter!], timestamp: TimestampFilter): TransactionConnection!
}
input TagFilter { name: String!, values: [String!]! }
input TimestampFilter { from: Float, to: Float }
enum SortOrder { ASC DESC }
type TransactionConnection { pageInfo: PageInfo!, edges: [TransactionEdge!]! }
type PageInfo { hasNextPage: Boolean!, endCursor: String }
type TransactionEdge { cursor: String!, node: Transaction! }
type Transaction {
	id: String!
	address: String!
	currency: String!
	token: String!
	timestamp: Float!
	signature: String!
	size: Float!
	fee: String!
	tags: [Tag!]!
	receipt: Receipt
}
type Receipt { deadlineHeight: Int!, signature: String!, timestamp: Float!, version: String! }
type Tag { name: String!, value: String! }
`

func bundlrSchema(n *Node) *graphql.Schema { return parseSchema(bundlrTypes, &bundlrQuery{n}) }

type bundlrQuery struct{ node *Node }

type bundlrArgs struct {
	IDs, Owners            *[]string
	After, Currency, Token *string
	Limit, First           *int32
	Order                  string
	HasTags                *bool
	Tags                   *[]struct {
		Name   string
		Values []string
	}
	Timestamp *struct{ From, To *float64 }
}

func (a *bundlrArgs) query() query {
	q := query{
		ids: stringsOf(a.IDs), owners: stringsOf(a.Owners), tagged: a.HasTags,
		after: valueOr(a.After, ""), limit: int(valueOr(a.Limit, valueOr(a.First, 10))), newestFirst: a.Order == "DESC",
	}
	for _, t := range valueOr(a.Tags, nil) {
		q.tags = append(q.tags, tagMatch{name: t.Name, values: t.Values})
	}
	for _, name := range []*string{a.Currency, a.Token} {
		if name != nil {
			q.currencies = append(q.currencies, *name)
		}
	}
	if a.Timestamp != nil {
		q.from, q.to = int64(valueOr(a.Timestamp.From, 0)), int64(valueOr(a.Timestamp.To, 0))
	}
	return q
}

func (b *bundlrQuery) Transactions(ctx context.Context, args bundlrArgs) (*bundlrPage, error) {
	p, err := b.node.list(ctx, args.query())
	return &bundlrPage{p, b.node}, err
}

type bundlrPage struct {
	page
	node *Node
}

func (p *bundlrPage) PageInfo() pageInfo { return p.info() }

func (p *bundlrPage) Edges() []bundlrEdge {
	edges := make([]bundlrEdge, len(p.entries))
	for i := range p.entries {
		edges[i] = bundlrEdge{p.entries[i].id, &bundlrNode{p, &p.entries[i]}}
	}
	return edges
}

type bundlrEdge struct {
	Cursor string
	Node   *bundlrNode
}

type bundlrNode struct {
	page  *bundlrPage
	entry *entry
}

func (n *bundlrNode) ID() string         { return n.entry.id }
func (n *bundlrNode) Address() string    { return archive.NativeAddress(n.entry.sigType, n.entry.owner) }
func (n *bundlrNode) Currency() string   { return currency(n.entry.sigType) }
func (n *bundlrNode) Token() string      { return currency(n.entry.sigType) }
func (n *bundlrNode) Timestamp() float64 { return float64(n.entry.at.UnixMilli()) }
func (n *bundlrNode) Signature() string  { return base64url(n.entry.signature) }
func (n *bundlrNode) Size() float64      { return float64(n.entry.dataSize()) }
func (n *bundlrNode) Fee() string        { return "0" }
func (n *bundlrNode) Tags() []tag        { return tagsOf(n.entry.tags) }

// maxReceipts bounds a page with receipts: each is signed anew.
const maxReceipts = 20

// Receipt signs the promise again.
func (n *bundlrNode) Receipt(ctx context.Context) (*bundlrReceipt, error) {
	if len(n.page.entries) > maxReceipts {
		return nil, fmt.Errorf("%w: receipts of %d items, at most %d are given at once", errQuery, len(n.page.entries), maxReceipts)
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	p, err := n.page.node.promise(n.entry.id, n.entry.at)
	if err != nil {
		return nil, err
	}
	return &bundlrReceipt{Signature: p.Signature, Timestamp: float64(p.Timestamp), Version: p.Version}, nil
}

type bundlrReceipt struct {
	DeadlineHeight     int32
	Signature, Version string
	Timestamp          float64
}
