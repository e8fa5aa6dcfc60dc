package archive_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/archive/storetest"
	"github.com/pgbridge/pgbridge/internal/fakearchive"
)

// store is a place that is written by one and read by another.
type store struct {
	archive.Finder
	archive.Putter
}

func (s store) Name() string { return s.Putter.Name() }

func TestStores(t *testing.T) {
	for _, test := range []struct {
		name string
		open func(s *fakearchive.Server, c *archive.Client) storetest.Store
	}{
		{"node", func(s *fakearchive.Server, c *archive.Client) storetest.Store {
			return &archive.Node{URL: s.URL, HTTP: c}
		}},
		{"node with a pinned address", func(s *fakearchive.Server, c *archive.Client) storetest.Store {
			return &archive.Node{URL: s.URL, Addresses: []string{s.Address}, HTTP: c}
		}},
		{"turbo and gateway", func(s *fakearchive.Server, c *archive.Client) storetest.Store {
			return store{&archive.Gateway{URL: s.URL, HTTP: c}, bundlers(s, c)["turbo"]}
		}},
		{"bundlr alone", func(s *fakearchive.Server, c *archive.Client) storetest.Store {
			return store{&archive.Gateway{URL: s.URL, Dialect: archive.Bundlr, HTTP: c}, bundlers(s, c)["bundlr"]}
		}},
		{"several", func(s *fakearchive.Server, c *archive.Client) storetest.Store {
			gateway := &archive.Gateway{URL: s.URL, HTTP: c}
			return store{&archive.Multi{Members: []archive.Finder{gateway, &archive.Node{URL: s.URL, HTTP: c}}}, bundlers(s, c)["turbo"]}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Store {
				s := fakearchive.New(t)
				// These two give records 1 of one writer on purpose.
				s.Forks = strings.HasSuffix(t.Name(), "/fork_and_second_wrapper") || strings.HasSuffix(t.Name(), "/genesis")
				return test.open(s, patient(t))
			})
		})
	}
}

func expectNoSecret(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(text, "secret") || strings.Contains(text, "user") {
			t.Errorf("%q shows the user or the password", text)
		}
	}
}

func refOf(t *testing.T, item archive.Item) archive.Ref {
	t.Helper()
	ref, err := item.Ref()
	if err != nil {
		t.Fatalf("ref of item: %v", err)
	}
	return ref
}

// allocated is how many bytes the process has allocated up to now.
func allocated() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.TotalAlloc
}
