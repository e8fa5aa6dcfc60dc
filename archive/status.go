package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// confirmations is how many blocks on top of an item's make it permanent.
const confirmations = 18

// Status asks the bundler (Turbo), or the bundler's index and the gateway
// (Bundlr). Accepted and Confirmed are their word, not proof. FAILED at Turbo
// is Unknown: the item may be posted again.
func (b *Bundler) Status(ctx context.Context, id string) (state State, err error) {
	if !ValidID(id) {
		return Unknown, fmt.Errorf("status at %s: %.50q is no item id", b.Name(), id)
	}
	err = b.HTTP.orShared().retry(ctx, b.URL, func() error {
		state, err = b.state(ctx, id)
		return err
	})
	if err != nil {
		return Unknown, fmt.Errorf("status of item %s at %s: %w", id, b.Name(), err)
	}
	return state, nil
}

// state is Status, once.
func (b *Bundler) state(ctx context.Context, id string) (State, error) {
	if b.Dialect == Turbo {
		return b.turboState(ctx, id)
	}
	return b.bundlrState(ctx, id)
}

func (b *Bundler) turboState(ctx context.Context, id string) (State, error) {
	r := request{method: http.MethodGet, url: baseURL(b.URL) + "/v1/tx/" + id + "/status"}
	a, err := b.HTTP.orShared().send(ctx, r, maxReceipt)
	if f := (*fault)(nil); errors.As(err, &f) && f.code == http.StatusNotFound {
		return Unknown, nil
	}
	if err != nil {
		return Unknown, err
	}
	var j struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal(a.body, &j); err != nil {
		return Unknown, fmt.Errorf("the answer: %w", err)
	}
	switch j.Status {
	case "CONFIRMED":
		return Accepted, nil
	case "FINALIZED":
		return Confirmed, nil
	case "FAILED":
		return Unknown, nil
	}
	return Unknown, fmt.Errorf("the answer: status %.50q is not known to this pgbridge", j.Status)
}

// bundlrState is the better of what the bundler and the gateway say. A bundler
// that lists the item has taken it.
func (b *Bundler) bundlrState(ctx context.Context, id string) (State, error) {
	state, gatewayErr := Unknown, error(nil)
	if b.Gateway != nil {
		if state, gatewayErr = b.Gateway.state(ctx, id); state == Confirmed {
			return Confirmed, nil
		}
	}
	own := index{b.HTTP.orShared(), baseURL(b.URL), Bundlr}
	p, err := own.query(ctx, filter{ids: []string{id}, limit: 1}, "id")
	switch {
	case err == nil && len(p.nodes) > 0 && p.nodes[0].ID == id:
		return max(state, Accepted), nil
	case state > Unknown:
		return state, nil
	case gatewayErr != nil:
		return Unknown, fmt.Errorf("%s: %w", b.Gateway.Name(), gatewayErr)
	}
	return Unknown, err
}

// state tells how deep the item's block lies: Pending while it is in none,
// Confirmed under enough others.
func (g *Gateway) state(ctx context.Context, id string) (State, error) {
	x := g.index()
	p, err := x.query(ctx, filter{ids: []string{id}, limit: 1}, "id block{height}")
	if err != nil || len(p.nodes) == 0 || p.nodes[0].ID != id {
		return Unknown, err
	}
	block := p.nodes[0].Block
	if block == nil {
		return Pending, nil
	}
	// Any item in a block that high tells the height of the chain.
	top := block.Height + confirmations
	p, err = x.query(ctx, filter{block: top, limit: 10}, "id block{height}")
	if err != nil {
		return Accepted, nil //nolint:nilerr // in a block, and how deep can be asked again
	}
	for _, n := range p.nodes {
		if n.Block != nil && n.Block.Height >= top {
			return Confirmed, nil
		}
	}
	return Accepted, nil
}
