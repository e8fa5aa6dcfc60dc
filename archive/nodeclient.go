package archive

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/pgbridge/pgbridge/action"
)

// Node is pgbridge's own node (package archive/node) at one URL: it takes
// items, finds them and pushes them. Its methods may be called concurrently.
//
// Receipts count when one of Addresses signed them. A node takes no money, so
// there need be none: then its status is believed, as Bundler says.
type Node struct {
	// URL is where the node is; a user and a password in it are sent as basic
	// authorization and never shown.
	URL string
	// Addresses are those whose receipts count, as in Bundler.
	Addresses []string
	// Silence is how long the feed may say nothing, not even that there is
	// nothing, before it counts as broken. 45 s if zero.
	Silence time.Duration
	// HTTP is the client to use. Nil shares one with the defaults.
	HTTP *Client
}

func (n *Node) bundler() *Bundler {
	return &Bundler{URL: n.URL, Dialect: Turbo, Addresses: n.Addresses, HTTP: n.HTTP, node: n.Name()}
}

func (n *Node) gateway() *Gateway { return &Gateway{URL: n.URL, HTTP: n.HTTP, node: n.Name()} }

// Name is the URL without secrets.
func (n *Node) Name() string { return displayURL(n.URL) }

// Put is Bundler.Put. A node has no blocks: what it promises for none is
// Confirmed at once.
func (n *Node) Put(ctx context.Context, item []byte) (Receipt, error) {
	return n.bundler().Put(ctx, item)
}

// Status is Bundler.Status.
func (n *Node) Status(ctx context.Context, id string) (State, error) {
	return n.bundler().Status(ctx, id)
}

// Find is Gateway.Find.
func (n *Node) Find(ctx context.Context, q Query) ([]Ref, error) { return n.gateway().Find(ctx, q) }

// FindGenesis is Gateway.FindGenesis.
func (n *Node) FindGenesis(ctx context.Context, db action.Digest) ([]Ref, error) {
	return n.gateway().FindGenesis(ctx, db)
}

// Get is Gateway.Get.
func (n *Node) Get(ctx context.Context, id string) ([]byte, error) { return n.gateway().Get(ctx, id) }

func (n *Node) fetch(ctx context.Context, id string, accept func(*Record) error) ([]byte, error) {
	return n.gateway().fetch(ctx, id, accept)
}

// maxEvent bounds one line of the feed.
const maxEvent = 64 << 10

// Watch reads the node's feed. It tries once: who wants it again asks again,
// and first looks for what arrived in between. A node that is silent for
// Silence is gone, whatever the connection says.
func (n *Node) Watch(ctx context.Context, db action.Digest, ready func(), found func(Ref)) error {
	r := request{method: http.MethodGet, url: baseURL(n.URL) + "/events?db=" + db.String()}
	silence := orDefault(n.Silence, 45*time.Second)
	err := n.HTTP.orShared().exchange(ctx, r, func(res *http.Response, p *pace) error {
		if kind := res.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
			return fmt.Errorf("the answer is %.50q, not a feed", kind)
		}
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(make([]byte, 0, 4<<10), maxEvent)
		p.allow(silence)
		for begun := false; lines.Scan(); begun = true {
			p.timer.Stop() // what is called may take its time
			if !begun {
				ready() // the node has joined us to the feed before its first line
			}
			if err := event(lines.Text(), db, found); err != nil {
				return err
			}
			p.allow(silence)
		}
		err := lines.Err()
		if err == nil {
			err = errors.New("the node ended it")
		}
		return &transportError{true, err}
	})
	if errors.Is(err, errSlow) {
		err = fmt.Errorf("silent for %s", silence)
	}
	return fmt.Errorf("feed of %s: %w", n.Name(), err)
}

// event hands on the item that a line of the feed tells of: its id and tags, as
// the index has them. Other lines are signs of life.
func event(line string, db action.Digest, found func(Ref)) error {
	data, ok := strings.CutPrefix(line, "data:")
	if !ok {
		return nil
	}
	var n node
	if err := json.Unmarshal([]byte(data), &n); err != nil {
		return fmt.Errorf("read event: %w", err)
	}
	// As in the index, what cannot be read answers no question.
	if ref, err := ParseRef(n.ID, n.Tags); err == nil && ref.DB == db {
		found(ref)
	}
	return nil
}
