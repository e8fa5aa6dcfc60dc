package node

import (
	"context"
	"strconv"

	"github.com/graph-gophers/graphql-go"

	"github.com/pgbridge/pgbridge/archive"
)

// gatewayTypes is the schema of Arweave's gateways, as far as it makes sense
// for items: those are in no bundle here, and nothing costs anything.
const gatewayTypes = `
type Query {
	transaction(id: ID!): Transaction
	transactions(ids: [ID!], owners: [String!], recipients: [String!], tags: [TagFilter!], bundledIn: [ID!],
		block: BlockFilter, first: Int = 10, after: String, sort: SortOrder = HEIGHT_DESC): TransactionConnection!
}
input TagFilter { name: String!, values: [String!]!, op: TagOperator = EQ }
input BlockFilter { min: Int, max: Int }
enum TagOperator { EQ NEQ }
enum SortOrder { HEIGHT_ASC HEIGHT_DESC }
type TransactionConnection { pageInfo: PageInfo!, edges: [TransactionEdge!]! }
type PageInfo { hasNextPage: Boolean! }
type TransactionEdge { cursor: String!, node: Transaction! }
type Transaction {
	id: ID!
	anchor: String!
	signature: String!
	recipient: String!
	owner: Owner!
	fee: Amount!
	quantity: Amount!
	data: MetaData!
	tags: [Tag!]!
	block: Block
	bundledIn: Bundle
	parent: Bundle
}
type Owner { address: String!, key: String! }
type Amount { winston: String!, ar: String! }
type MetaData { size: String!, type: String }
type Tag { name: String!, value: String! }
type Block { id: ID!, timestamp: Int!, height: Int!, previous: ID! }
type Bundle { id: ID! }
`

func gatewaySchema(n *Node) *graphql.Schema { return parseSchema(gatewayTypes, &gatewayQuery{n}) }

type gatewayQuery struct{ node *Node }

type gatewayArgs struct {
	IDs        *[]graphql.ID
	Owners     *[]string
	Recipients *[]string
	Tags       *[]tagFilter
	BundledIn  *[]graphql.ID
	Block      *struct{ Min, Max *int32 }
	First      int32
	After      *string
	Sort       string
}

func (a *gatewayArgs) query() query {
	q := query{
		ids: stringsOf(a.IDs), owners: stringsOf(a.Owners), recipients: stringsOf(a.Recipients), tags: matchesOf(a.Tags),
		after: valueOr(a.After, ""), limit: int(a.First), newestFirst: a.Sort == "HEIGHT_DESC",
	}
	if a.BundledIn != nil {
		q.ids = []string{} // nothing is
	}
	if a.Block != nil {
		q.first, q.last = int64(valueOr(a.Block.Min, 0)), int64(valueOr(a.Block.Max, 0))
	}
	return q
}

func (g *gatewayQuery) Transactions(ctx context.Context, args gatewayArgs) (*gatewayPage, error) {
	p, err := g.node.list(ctx, args.query())
	return &gatewayPage{p}, err
}

func (g *gatewayQuery) Transaction(ctx context.Context, args struct{ ID graphql.ID }) (*gatewayNode, error) {
	p, err := g.node.list(ctx, query{ids: []string{string(args.ID)}, limit: 1})
	if err != nil || len(p.entries) == 0 {
		return nil, err
	}
	return &gatewayNode{&p.entries[0]}, nil
}

type gatewayPage struct{ page }

func (p *gatewayPage) PageInfo() pageInfo { return p.info() }

func (p *gatewayPage) Edges() []gatewayEdge {
	edges := make([]gatewayEdge, len(p.entries))
	for i := range p.entries {
		edges[i] = gatewayEdge{p.entries[i].id, &gatewayNode{&p.entries[i]}}
	}
	return edges
}

type gatewayEdge struct {
	Cursor string
	Node   *gatewayNode
}

type gatewayNode struct{ entry *entry }

func (n *gatewayNode) ID() graphql.ID    { return graphql.ID(n.entry.id) }
func (n *gatewayNode) Anchor() string    { return base64url(n.entry.anchor) }
func (n *gatewayNode) Signature() string { return base64url(n.entry.signature) }
func (n *gatewayNode) Recipient() string { return base64url(n.entry.target) }
func (n *gatewayNode) Tags() []tag       { return tagsOf(n.entry.tags) }
func (n *gatewayNode) Fee() amount       { return nothing }
func (n *gatewayNode) Quantity() amount  { return nothing }
func (n *gatewayNode) BundledIn() *inner { return nil }
func (n *gatewayNode) Parent() *inner    { return nil }

type (
	owner  struct{ Address, Key string }
	amount struct{ Winston, Ar string }
	inner  struct{ ID graphql.ID }
	meta   struct {
		Size string
		Type *string
	}
	block struct {
		ID, Previous      graphql.ID
		Timestamp, Height int32
	}
)

var nothing = amount{"0", "0.000000000000"}

func (n *gatewayNode) Owner() owner {
	return owner{archive.Address(n.entry.owner), base64url(n.entry.owner)}
}

func (n *gatewayNode) Data() meta {
	kind := n.entry.contentType()
	return meta{strconv.FormatInt(n.entry.dataSize(), 10), &kind}
}

// Block makes each item a block of its own: see the package comment.
func (n *gatewayNode) Block() *block {
	return &block{ID: graphql.ID(n.entry.id), Timestamp: int32(n.entry.at.Unix()), Height: int32(n.entry.n)}
}
