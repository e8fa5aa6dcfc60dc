package fakearchive

import (
	"encoding/json"
	"io"
	"net/http"

	"github.com/pgbridge/pgbridge/archive"
)

// feed is one client of the push feed.
type feed struct {
	db    string
	nodes chan Node
}

// Break ends all feeds.
func (s *Server) Break() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for f := range s.feeds {
		close(f.nodes)
		delete(s.feeds, f)
	}
}

// events is the feed of one database, from now on. It gives no sign of life
// while nothing arrives.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	f := &feed{db: r.URL.Query().Get("db"), nodes: make(chan Node, 100)}
	s.mu.Lock()
	s.feeds[f] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.feeds, f)
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, ": ready\n\n")
	w.(http.Flusher).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-s.gone:
			return
		case n, ok := <-f.nodes:
			if !ok {
				return
			}
			io.WriteString(w, n.event())
			w.(http.Flusher).Flush()
		}
	}
}

func (n Node) event() string {
	data, err := json.Marshal(n.json())
	if err != nil {
		panic(err) // strings: cannot happen
	}
	return "data: " + string(data) + "\n\n"
}

// Event is how the feed tells of an item.
func Event(item archive.Item) string { return Node{ID: item.ID, Tags: item.Tags}.event() }

// Feed is a feed that says this, and ends.
func Feed(text string) Fault {
	return func(_ *Server, w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, text)
	}
}
