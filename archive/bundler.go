package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// Bundler uploads items to a bundler: Bundlr, Irys, Turbo, or what speaks like
// them. Its methods may be called concurrently.
//
// What Put believes. A receipt that a pinned address has signed for our id
// is a promise: it can be shown to others. All else (no address, no receipt, 202, an answer that was lost) is only believed
// once Status says Accepted: that is the unsigned word of whoever answers at
// the URL, and only as good as TLS. Nothing is lost on it: a publisher keeps
// the bytes until Confirmed.
type Bundler struct {
	// URL is where the bundler is; a user and a password in it are sent as
	// basic authorization and never shown.
	URL string
	// Dialect is Bundlr if empty, or Turbo.
	Dialect Dialect
	// Currency is the last element of the path that items are posted to, and
	// names the account that pays. Without one they go to the path above it.
	Currency string
	// Addresses are those whose receipts count, from configuration and not from
	// the bundler: base64url of the SHA-256 of its RSA key.
	Addresses []string
	// Gateway is where Status looks for the block of an item, in the Bundlr
	// dialect, whose bundlers do not tell: without one nothing is Confirmed.
	Gateway *Gateway
	// HTTP is the client to use. Nil shares one with the defaults.
	HTTP *Client

	node string // name of the Node that it is a part of
}

// Name is the URL that OpenURL takes, without secrets and keys: whatever the
// account, it is the same place.
func (b *Bundler) Name() string {
	if b.node != "" {
		return b.node
	}
	if b.Dialect == Turbo {
		return "turbo+" + displayURL(b.URL)
	}
	return "bundlr+" + displayURL(b.URL)
}

// Put posts the item until there is a verified receipt, or Status says that it
// is there, or Client.Retry ends. Before each post but the first it asks
// Status: a bundler charges again for what it has already.
//
//	2xx  a good receipt ends it; without one (201, 202, nothing) ask Status
//	402  ErrFunds
//	400, 401, 403, 413, 415, 422: ErrRejected, also an item that is none
//	408, 425, 429, 5xx, a broken exchange: pause, ask Status, then post again
//
// What ends without certainty is ErrMaybe, unless nothing can have arrived.
func (b *Bundler) Put(ctx context.Context, raw []byte) (Receipt, error) {
	item, err := ParseItem(raw)
	if err != nil {
		return Receipt{}, fmt.Errorf("put to %s: %w: %w", b.Name(), ErrRejected, err)
	}
	receipt, err := b.put(ctx, &item)
	if err != nil {
		return Receipt{}, fmt.Errorf("put item %s to %s: %w", item.ID, b.Name(), err)
	}
	return receipt, nil
}

func (b *Bundler) put(ctx context.Context, item *Item) (Receipt, error) {
	p := b.HTTP.orShared().Retry.begin()
	maybe := false
	for {
		receipt, why := b.post(ctx, item)
		if why == nil {
			return receipt, nil
		}
		if !transient(why) && !errors.Is(why, ErrMaybe) {
			return Receipt{}, why
		}
		maybe = maybe || mayHaveArrived(why)
		state, err := b.settle(ctx, p, item.ID, why)
		switch {
		case state >= Accepted:
			receipt.State = state
			return receipt, nil
		case err != nil && maybe && !errors.Is(err, ErrMaybe):
			return Receipt{}, fmt.Errorf("%w: %w", ErrMaybe, err)
		case err != nil:
			return Receipt{}, err
		}
	}
}

// settle finds out what became of a post that ended with why. Unknown without
// an error means that the item is not there and may be posted again.
func (b *Bundler) settle(ctx context.Context, p *patience, id string, why error) (State, error) {
	posted := errors.Is(why, ErrMaybe) // the bundler took it in some way: never post again, only ask
	for soon := posted; ; soon = false {
		if !soon {
			if err := b.HTTP.orShared().pause(ctx, p, b.URL, why); err != nil {
				return Unknown, err
			}
		}
		state, err := b.state(ctx, id)
		switch {
		case err == nil && state >= Accepted:
			return state, nil
		case err == nil && state == Unknown && !posted:
			return Unknown, nil
		case err != nil && !mayHaveArrived(why):
			return Unknown, nil // nothing to ask about
		}
	}
}

// mayHaveArrived tells whether a post that ended with err may have stored the item.
func mayHaveArrived(err error) bool {
	if broken := (*transportError)(nil); errors.As(err, &broken) {
		return broken.sent
	}
	if f := (*fault)(nil); errors.As(err, &f) {
		return f.code != http.StatusTooManyRequests
	}
	return true
}

// post makes one upload. With ErrMaybe comes the receipt as far as there is one.
func (b *Bundler) post(ctx context.Context, item *Item) (Receipt, error) {
	r := request{http.MethodPost, b.txURL(), "application/octet-stream", item.Bytes}
	a, err := b.HTTP.orShared().send(ctx, r, maxReceipt)
	receipt := Receipt{ID: item.ID, State: Accepted}
	if f := (*fault)(nil); errors.As(err, &f) {
		switch f.code {
		case http.StatusPaymentRequired:
			return receipt, fmt.Errorf("%w: %w", ErrFunds, err)
		case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestEntityTooLarge,
			http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
			return receipt, fmt.Errorf("%w: %w", ErrRejected, err)
		}
	}
	switch {
	case err != nil && a.code != 0 && !transient(err): // a 2xx that is too long
		return receipt, fmt.Errorf("%w: %w", ErrMaybe, err)
	case err != nil:
		return receipt, err
	case len(bytes.TrimSpace(a.body)) == 0:
		return receipt, fmt.Errorf("%w: status %d without a receipt", ErrMaybe, a.code)
	}
	receipt.Raw = a.body
	if len(b.Addresses) == 0 {
		return receipt, fmt.Errorf("%w: no address is pinned to check its receipt with", ErrMaybe)
	}
	promise, err := VerifyReceipt(a.body, item.ID, b.Addresses)
	if err != nil {
		return receipt, fmt.Errorf("%w: %w", ErrMaybe, err)
	}
	if b.node != "" && promise.DeadlineHeight == 0 {
		receipt.State = Confirmed
	}
	return receipt, nil
}

func (b *Bundler) txURL() string {
	u := baseURL(b.URL) + "/tx"
	if b.Dialect == Turbo {
		u = baseURL(b.URL) + "/v1/tx"
	}
	if b.Currency != "" {
		u += "/" + url.PathEscape(b.Currency)
	}
	return u
}
