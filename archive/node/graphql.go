package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/graph-gophers/graphql-go"
	gqlerrors "github.com/graph-gophers/graphql-go/errors"
)

// Limits of GraphQL: of a request's bytes, of nesting, of fields with their
// fragments spread out, of lists asked for in one request, of requests at a
// time, and of the time for one.
const (
	maxQueryBytes = 256 << 10
	maxDepth      = 15
	maxSelections = 2000
	maxLists      = 8
	maxQueries    = 16
	queryTime     = 10 * time.Second
)

func parseSchema(text string, resolver any) *graphql.Schema {
	return graphql.MustParseSchema(text, resolver,
		graphql.UseFieldResolvers(), graphql.MaxDepth(maxDepth), graphql.MaxSelections(maxSelections),
		graphql.MaxQueryLength(maxQueryBytes), graphql.MaxParallelism(4), graphql.OverlapValidationLimit(100_000))
}

// graphql serves both dialects. A query is of the one in whose schema it is
// valid, of the gateways' if it is in both: their arguments and fields tell
// them apart (first or limit, sort or order, owner or address).
func (n *Node) graphql(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Query         string         `json:"query"`
		OperationName string         `json:"operationName"`
		Variables     map[string]any `json:"variables"`
	}
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(patience)) // fails in tests without a connection only
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxQueryBytes)).Decode(&ask); err != nil {
		n.fail(w, r, reject(badBody(err), fmt.Errorf("want JSON with a query: %w", err)))
		return
	}
	http.NewResponseController(w).SetReadDeadline(time.Time{})
	ctx, cancel := context.WithTimeout(r.Context(), queryTime)
	defer cancel()
	if n.queries.Acquire(ctx, 1) != nil {
		n.fail(w, r, reject(http.StatusServiceUnavailable, errors.New("too many queries at once: try again")))
		return
	}
	defer n.queries.Release(1)
	schema := n.dialects.of(ask.Query, ask.Variables)
	answer := schema.Exec(context.WithValue(ctx, listsKey{}, new(atomic.Int32)), ask.Query, ask.OperationName, ask.Variables)
	n.tell(r, answer.Errors)
	allow(http.NewResponseController(w), 0)
	writeJSON(w, answer)
}

func badBody(err error) int {
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// dialects are the schemas of one endpoint.
type dialects struct {
	gateway, bundlr *graphql.Schema
}

func (d dialects) of(query string, variables map[string]any) *graphql.Schema {
	inGateway := d.gateway.ValidateWithVariables(query, variables)
	if len(inGateway) == 0 {
		return d.gateway
	}
	inBundlr := d.bundlr.ValidateWithVariables(query, variables)
	if len(inBundlr) < len(inGateway) { // in neither: the likelier one explains what is wrong
		return d.bundlr
	}
	return d.gateway
}

// tell logs what is our fault and hides it from the client.
func (n *Node) tell(r *http.Request, errs []*gqlerrors.QueryError) {
	for _, e := range errs {
		cause := e.ResolverError
		if cause == nil {
			continue // of the query itself
		}
		answer := refusalOf(cause)
		e.Message = answer.public
		n.ail(cause)
		if answer.status >= 500 && r.Context().Err() == nil {
			n.log().Error("a query failed", "error", cause)
		}
	}
}

// listsKey is where the context counts the lists of one request.
type listsKey struct{}

// list answers a query within a request.
func (n *Node) list(ctx context.Context, q query) (page, error) {
	if count, ok := ctx.Value(listsKey{}).(*atomic.Int32); ok && count.Add(1) > maxLists {
		return page{}, fmt.Errorf("%w: at most %d lists in one request", errQuery, maxLists)
	}
	if q.limit < 1 || q.limit > maxPage {
		return page{}, fmt.Errorf("%w: a page of %d, want 1 to %d", errQuery, q.limit, maxPage)
	}
	return n.index.find(ctx, q)
}

// tagFilter is the argument of that name in both dialects.
type tagFilter struct {
	Name   string
	Values []string
	Op     string
}

func matchesOf(filters *[]tagFilter) []tagMatch {
	if filters == nil {
		return nil
	}
	out := make([]tagMatch, len(*filters))
	for i, f := range *filters {
		out[i] = tagMatch{name: f.Name, values: f.Values, not: strings.EqualFold(f.Op, "NEQ")}
	}
	return out
}

func stringsOf[T ~string](list *[]T) []string {
	if list == nil {
		return nil
	}
	out := make([]string, len(*list))
	for i, v := range *list {
		out[i] = string(v)
	}
	return out
}

func valueOr[T any](v *T, otherwise T) T {
	if v == nil {
		return otherwise
	}
	return *v
}

// pageInfo is the type of that name; gateways have no endCursor.
type pageInfo struct {
	HasNextPage bool
	EndCursor   *string
}

func (p *page) info() pageInfo {
	info := pageInfo{HasNextPage: p.more}
	if len(p.entries) > 0 {
		info.EndCursor = &p.entries[len(p.entries)-1].id
	}
	return info
}
