package node

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/archive/storetest"
)

// Everything that is put after ready is pushed, once, in the order in which it
// can be found, and can be fetched at once; nothing of other databases is.
func TestFeedOrder(t *testing.T) {
	r := start(t, Options{})
	c := storetest.NewChain(t, "feed")
	var mine []archive.Item
	for range 40 {
		mine = append(mine, c.Next(t, archive.TypeActions, []byte("x")))
	}
	others := chainItems(t, "others", 40)
	r.put(mine[0]) // before: not pushed

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready, done := make(chan struct{}), make(chan error, 1)
	var got []string
	reader := client(t)
	go func() {
		done <- (&archive.Node{URL: r.url, HTTP: reader}).Watch(ctx, c.DB, func() { close(ready) }, func(ref archive.Ref) {
			got = append(got, ref.ID)
			if status, _, _ := r.get("/" + ref.ID); status != 200 {
				t.Errorf("the data of an item that was pushed: got %d, want 200", status)
			}
			if len(got) == len(mine)-1 {
				cancel()
			}
		})
	}()
	<-ready
	var puts sync.WaitGroup
	for lane := range 4 {
		puts.Go(func() {
			for i := 1 + lane; i < len(mine); i += 4 {
				r.put(others[i])
				r.put(mine[i])
				r.put(mine[i]) // a duplicate is not pushed
			}
		})
	}
	puts.Wait()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch: got %v, want context.Canceled", err)
	}
	var a answer
	r.ask(&a, `{transactions(first:100,sort:HEIGHT_ASC,tags:[{name:"DB-ID",values:["`+c.DB.String()+`"]}]){edges{node{id}}}}`, nil)
	if want := a.ids()[1:]; !slices.Equal(got, want) {
		t.Errorf("pushed: got %d, want the %d in the order of the index", len(got), len(want))
	}
}

// A subscriber who does not keep up is let go, the feed and the others go on.
func TestFeedDropsTheSlow(t *testing.T) {
	var f feed
	db := storetest.NewChain(t, "slow").DB
	slow, err := f.join(db)
	if err != nil {
		t.Fatal(err)
	}
	quick, err := f.join(db)
	if err != nil {
		t.Fatal(err)
	}
	other, err := f.join(action.Digest{1})
	if err != nil {
		t.Fatal(err)
	}
	items := chainItems(t, "slow", maxBehind+10)
	for i, item := range items {
		f.publish(entry{id: item.ID, tags: item.Tags})
		var e event
		if err := json.Unmarshal([]byte(strings.TrimPrefix(string(<-quick.events), "data: ")), &e); err != nil || e.ID != item.ID {
			t.Fatalf("event %d of the quick one: got %s, %v, want %s", i, e.ID, err, item.ID)
		}
	}
	count := 0
	for range slow.events {
		count++
	}
	if count != maxBehind {
		t.Errorf("the slow one: got %d events before the end, want %d", count, maxBehind)
	}
	f.leave(slow) // its handler ends later
	if len(other.events) != 0 {
		t.Errorf("another database: got %d events, want none", len(other.events))
	}
	f.end()
	if _, more := <-quick.events; more {
		t.Error("after the end: got an event, want none")
	}
	if _, err := f.join(db); err == nil {
		t.Error("join after the end: got no error")
	}
}

func TestFeedIsBounded(t *testing.T) {
	var f feed
	for range maxSubscribers {
		if _, err := f.join(action.Digest{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.join(action.Digest{}); !errors.Is(err, errFeedFull) {
		t.Errorf("one too many: got %v, want errFeedFull", err)
	}
}

// pipes is a listener whose connections are pipes, which keep to the clock of
// a synctest bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) dial() net.Conn {
	mine, theirs := net.Pipe()
	p.conns <- theirs
	return mine
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// inBubble runs a node in a bubble.
func inBubble(t *testing.T, o Options, run func(t *testing.T, n *Node, p *pipes)) {
	o.Dir = newDir(t)
	synctest.Test(t, func(t *testing.T) {
		n, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		p := newPipes()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.Serve(ctx, p) }()
		run(t, n, p)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if err := n.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

func TestFeedGivesSignsOfLife(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, n *Node, p *pipes) {
		conn := p.dial()
		defer conn.Close()
		began := time.Now()
		go conn.Write([]byte("GET /events?db=" + strings.Repeat("0", 64) + " HTTP/1.1\r\nHost: x\r\n\r\n"))
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("got %v, %v, want a feed", res, err)
		}
		lines := bufio.NewScanner(res.Body)
		comments := 0
		for comments < 20 && lines.Scan() {
			if strings.HasPrefix(lines.Text(), ":") {
				comments++
			}
		}
		if took := time.Since(began); comments != 20 || took != 19*heartbeat {
			t.Errorf("got %d comments in %v, want 20 in %v", comments, took, 19*heartbeat)
		}
	})
}

// Who reads nothing of the feed is cut off.
func TestFeedCutsOffTheDeaf(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, n *Node, p *pipes) {
		conn := p.dial()
		defer conn.Close()
		go conn.Write([]byte("GET /events?db=" + strings.Repeat("0", 64) + " HTTP/1.1\r\nHost: x\r\n\r\n"))
		time.Sleep(2 * patience) // of the bubble's clock
		synctest.Wait()
		n.feed.mu.Lock()
		defer n.feed.mu.Unlock()
		if len(n.feed.subs) != 0 {
			t.Errorf("subscribers: got %d, want none", len(n.feed.subs))
		}
	})
}

// Slow loris: in the head, in the body, and in taking the answer.
func TestSlowClientsAreCutOff(t *testing.T) {
	item := foreign(t, 1, strings.Repeat("x", 1<<20))
	for _, test := range []struct {
		name, head string
		body       []byte // sent one byte a second
		within     time.Duration
		want       string
	}{
		{"head", "POST /tx HTTP/1.1\r\nHost: x\r\n", nil, 11 * time.Second, ""},
		{
			"body", "POST /tx HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n",
			item.Bytes, patience + 2*time.Second, "408",
		},
		{"query", "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", []byte(strings.Repeat(" ", 1000)), patience + 2*time.Second, "400"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, Options{}, func(t *testing.T, n *Node, p *pipes) {
				conn := p.dial()
				began := time.Now()
				var sending sync.WaitGroup
				defer sending.Wait()
				defer conn.Close()
				sending.Go(func() {
					conn.Write([]byte(test.head))
					for i := range test.body {
						time.Sleep(time.Second) // of the bubble's clock
						if _, err := conn.Write(test.body[i : i+1]); err != nil {
							return
						}
					}
				})
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if test.want != "" && (err != nil || !strings.HasPrefix(res.Status, test.want)) {
					t.Errorf("got %v, %v, want %s", res, err, test.want)
				}
				if test.want == "" && err == nil {
					t.Errorf("got %v, want the connection closed", res.Status)
				}
				if took := time.Since(began); took > test.within {
					t.Errorf("cut off after %v, want %v at most", took, test.within)
				}
			})
		})
	}
}
