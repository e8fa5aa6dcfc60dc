package node

import (
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/archive/storetest"
)

// both is a place that is written by one client and read by another.
type both struct {
	archive.Finder
	archive.Putter
}

func (b both) Name() string { return b.Putter.Name() }

func client(t *testing.T) *archive.Client {
	c := &archive.Client{Retry: archive.Backoff{First: time.Millisecond, Elapsed: 10 * time.Second}}
	t.Cleanup(c.CloseIdle)
	return c
}

// Every client of package archive works against the node as against the
// servers that it was made for.
func TestStores(t *testing.T) {
	for _, test := range []struct {
		name string
		open func(r *running, c *archive.Client) storetest.Store
	}{
		{"node", func(r *running, c *archive.Client) storetest.Store {
			return &archive.Node{URL: r.url, HTTP: c}
		}},
		{"node with a pinned address", func(r *running, c *archive.Client) storetest.Store {
			return &archive.Node{URL: r.url, Addresses: []string{r.Address()}, HTTP: c}
		}},
		{"bundlr", func(r *running, c *archive.Client) storetest.Store {
			return both{
				&archive.Gateway{URL: r.url, Dialect: archive.Bundlr, HTTP: c},
				&archive.Bundler{URL: r.url, Currency: "ethereum", Addresses: []string{r.Address()}, HTTP: c},
			}
		}},
		{"turbo and gateway", func(r *running, c *archive.Client) storetest.Store {
			return both{
				&archive.Gateway{URL: r.url, HTTP: c},
				&archive.Bundler{URL: r.url, Dialect: archive.Turbo, Currency: "solana", Addresses: []string{r.Address()}, HTTP: c},
			}
		}},
		{"written to the node, read from its folder", func(r *running, c *archive.Client) storetest.Store {
			return both{&archive.Folder{Dir: r.options.Dir}, &archive.Node{URL: r.url, HTTP: c}}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Store {
				r := start(t, Options{})
				return test.open(r, client(t))
			})
		})
	}
}
