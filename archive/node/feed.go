package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// feed tells subscribers of each new item of a database. One who does not keep
// up is let go, and asks for what it missed by number: the feed never waits.
type feed struct {
	mu   sync.Mutex
	subs map[*subscriber]bool
	over bool
}

type subscriber struct {
	db     action.Digest
	events chan []byte // closed when the subscriber is let go
}

// Limits of the feed.
const (
	maxBehind      = 256 // events that one subscriber may be behind
	maxSubscribers = 1000
)

// event is an item as the feed tells of it: its id and tags, as in GraphQL.
type event struct {
	ID   string `json:"id"`
	Tags []tag  `json:"tags"`
}

type tag struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func tagsOf(tags []archive.Tag) []tag {
	out := make([]tag, len(tags))
	for i, t := range tags {
		out[i] = tag(t)
	}
	return out
}

// publish tells of an item, if it is one of pgbridge. It is called in the
// order in which items became findable.
func (f *feed) publish(e entry) {
	ref, err := archive.ParseRef(e.id, e.tags)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var frame []byte
	for s := range f.subs {
		if s.db != ref.DB {
			continue
		}
		if frame == nil {
			data, err := json.Marshal(event{e.id, tagsOf(e.tags)})
			if err != nil {
				return // strings: cannot happen
			}
			frame = append(append([]byte("data: "), data...), "\n\n"...)
		}
		select {
		case s.events <- frame:
		default:
			f.drop(s)
		}
	}
}

var errFeedFull = errors.New("too many subscribers: try again later")

func (f *feed) join(db action.Digest) (*subscriber, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over || len(f.subs) >= maxSubscribers {
		return nil, errFeedFull
	}
	s := &subscriber{db: db, events: make(chan []byte, maxBehind)}
	if f.subs == nil {
		f.subs = make(map[*subscriber]bool)
	}
	f.subs[s] = true
	return s, nil
}

func (f *feed) leave(s *subscriber) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop(s)
}

func (f *feed) drop(s *subscriber) {
	if f.subs[s] {
		delete(f.subs, s)
		close(s.events)
	}
}

// end lets everybody go and takes nobody more.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	for s := range f.subs {
		f.drop(s)
	}
}

// heartbeat is how often the feed gives a sign of life.
const heartbeat = 15 * time.Second

// events serves GET /events?db=<db-id>: server-sent events, one for each item
// of the database that arrives from now on, once it is durable and can be
// found: "data: " and JSON, {"id":…,"tags":[{"name":…,"value":…},…]}. Lines
// that begin with a colon are signs of life. The first of them means that what
// arrives from then on is not missed while the connection lasts.
func (n *Node) events(w http.ResponseWriter, r *http.Request) {
	db, err := action.ParseDigest(r.URL.Query().Get("db"))
	if err != nil {
		n.fail(w, r, reject(http.StatusBadRequest, fmt.Errorf("want /events?db=<db-id>: %w", err)))
		return
	}
	s, err := n.feed.join(db)
	if err != nil {
		n.fail(w, r, reject(http.StatusServiceUnavailable, err))
		return
	}
	defer n.feed.leave(s)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	rc := http.NewResponseController(w)
	send := func(text []byte) bool {
		rc.SetWriteDeadline(time.Now().Add(patience)) // where there is none, the write tells
		_, err := w.Write(text)
		return err == nil && rc.Flush() == nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for ok := send([]byte(": ready\n\n")); ok; {
		select {
		case text, more := <-s.events:
			ok = more && send(text)
		case <-beat.C:
			ok = send([]byte(": still here\n\n"))
		case <-r.Context().Done():
			return
		}
	}
}
