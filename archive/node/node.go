package node

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/pgbridge/pgbridge/archive"
)

// Options of a node. The zero value of a field is its default.
type Options struct {
	// Dir is the folder with the items, as archive.Folder keeps it. It is made
	// if its parent exists. The node's own files are in Dir/node.
	Dir string
	// MaxItem bounds an item, in bytes: archive.MaxItem.
	MaxItem int64
	// Uploads is how many are taken at a time: 64.
	Uploads int64
	// Memory bounds what they hold together, in bytes: MaxItem and 256 MiB.
	Memory int64
	// Log is told what a person should know. Nil discards.
	Log *slog.Logger
}

func (o *Options) setDefaults() {
	if o.MaxItem == 0 {
		o.MaxItem = archive.MaxItem
	}
	if o.Uploads == 0 {
		o.Uploads = 64
	}
	if o.Memory == 0 {
		o.Memory = o.MaxItem + 256<<20
	}
}

// Node serves one folder. Its methods may be called concurrently.
type Node struct {
	options Options
	folder  *archive.Folder
	index   *index
	feed    feed
	key     *rsa.PrivateKey
	address string
	lock    *os.File

	uploads, memory, queries *semaphore.Weighted
	dialects                 dialects
	broken                   chan error // what only a restart heals; holds one
}

// Open makes the node of a folder ready: its key and index are made if they
// are not there, and what is in the folder but not in the index is indexed. A
// folder is served by one node at a time. Close it.
func Open(ctx context.Context, o Options) (*Node, error) {
	o.setDefaults()
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open node in %s: %w", o.Dir, err)
	}
	o.Dir = dir
	n := &Node{
		options: o,
		folder:  &archive.Folder{Dir: o.Dir},
		uploads: semaphore.NewWeighted(o.Uploads),
		memory:  semaphore.NewWeighted(o.Memory),
		queries: semaphore.NewWeighted(maxQueries),
		broken:  make(chan error, 1),
	}
	n.dialects = dialects{gatewaySchema(n), bundlrSchema(n)}
	if err := n.open(ctx); err != nil {
		return nil, fmt.Errorf("open node in %s: %w", o.Dir, err)
	}
	return n, nil
}

func (n *Node) open(ctx context.Context) (err error) {
	own := filepath.Join(n.options.Dir, "node")
	for _, dir := range []string{n.options.Dir, own} {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	if n.lock, err = lock(filepath.Join(own, "lock")); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			n.lock.Close() // the first error is the one to tell
		}
	}()
	if n.key, err = loadKey(filepath.Join(own, "key.pem")); err != nil {
		return err
	}
	n.address = address(n.key)
	n.index, err = n.openIndex(ctx, filepath.Join(own, "index.db"))
	return err
}

// openIndex opens the index and brings it up to the files. One that is damaged
// is built anew.
func (n *Node) openIndex(ctx context.Context, file string) (*index, error) {
	x, err := n.trySync(ctx, file)
	if !errors.Is(err, errDamaged) {
		return x, err
	}
	n.log().Warn("building the index anew from the files", "reason", err)
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(file + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return n.trySync(ctx, file)
}

func (n *Node) trySync(ctx context.Context, file string) (*index, error) {
	x, err := openIndex(ctx, file)
	if err != nil {
		return nil, err
	}
	if err := (&syncer{folder: n.folder, index: x, node: n}).run(ctx); err != nil {
		return nil, errors.Join(err, x.close())
	}
	x.added = n.feed.publish
	return x, nil
}

// Address is what clients pin: that of the key which signs receipts.
func (n *Node) Address() string { return n.address }

// Close ends the node. No request may be running.
func (n *Node) Close() error {
	n.feed.end()
	return errors.Join(n.index.close(), n.lock.Close())
}

// Serve answers on l, and closes it, until ctx ends; then it lets the requests
// under way finish, for a while, and returns nil. It returns earlier when
// something breaks that a restart heals.
func (n *Node) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           n.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		WriteTimeout:      patience, // allow grants more
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(n.log().Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	var err error
	select {
	case err = <-failed:
		return fmt.Errorf("serve: %w", err)
	case err = <-n.broken:
	case <-ctx.Done():
	}
	n.feed.end()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if server.Shutdown(ending) != nil {
		server.Close() // those that hang are cut off
	}
	if ended := <-failed; err == nil && !errors.Is(ended, http.ErrServerClosed) {
		err = ended
	}
	return err
}

// Handler is the node as a part of another server, which then sets its own
// timeouts for reading the head of a request.
func (n *Node) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range map[string]http.HandlerFunc{
		"POST /tx":                        n.upload,
		"POST /tx/{currency}":             n.upload,
		"POST /v1/tx":                     n.upload,
		"POST /v1/tx/{token}":             n.upload,
		"GET /{id}":                       n.data,
		"GET /raw/{id}":                   n.data,
		"GET /tx/{id}":                    n.meta,
		"GET /tx/{id}/data":               n.data,
		"GET /item/{id}":                  n.item,
		"GET /v1/tx/{id}/status":          n.status,
		"GET /{$}":                        n.info,
		"GET /info":                       n.info,
		"GET /v1/info":                    n.info,
		"GET /public":                     n.public,
		"GET /price/{token}/{bytes}":      n.price,
		"GET /v1/price/bytes/{bytes}":     n.turboPrice,
		"GET /account/balance":            n.balance,
		"GET /account/balance/{token}":    n.balance,
		"GET /v1/account/balance":         n.turboBalance,
		"GET /v1/account/balance/{token}": n.turboBalance,
		"POST /graphql":                   n.graphql,
		"GET /events":                     n.events,
	} {
		mux.HandleFunc(pattern, serve)
	}
	return mux
}

func (n *Node) log() *slog.Logger {
	if n.options.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return n.options.Log
}
