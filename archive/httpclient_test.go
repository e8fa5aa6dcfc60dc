package archive

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoff(t *testing.T) {
	for _, test := range []struct {
		name        string
		backoff     Backoff
		hint        time.Duration
		tries       int // how many pauses there are, at least and at most
		atMost      int
		least, most time.Duration // all of them together
	}{
		{"defaults", Backoff{}, 0, 7, 14, 45 * time.Second, time.Minute},
		{"quick", Backoff{First: time.Millisecond, Longest: 2 * time.Millisecond, Elapsed: 20 * time.Millisecond}, 0, 10, 21, 17 * time.Millisecond, 20 * time.Millisecond},
		{"the archive asks for more", Backoff{}, 20 * time.Second, 3, 3, time.Minute, time.Minute},
		{"the archive asks for too much", Backoff{}, time.Hour, 0, 0, 0, 0},
		{"never again", Backoff{Elapsed: 1}, 0, 0, 0, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, tries := time.Now(), 0
				for p := test.backoff.begin(); p.wait(t.Context(), test.hint) == nil; tries++ {
				}
				if spent := time.Since(began); spent < test.least || spent > test.most {
					t.Errorf("spent %s, want %s to %s", spent, test.least, test.most)
				}
				if tries < test.tries || tries > test.atMost {
					t.Errorf("tried %d times again, want %d to %d", tries, test.tries, test.atMost)
				}
			})
		})
	}
}

func TestBackoffEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		if err := (Backoff{}).begin().wait(ctx, 30*time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait: got %v, want the end of the context", err)
		}
		if spent := time.Since(began); spent != 3*time.Second {
			t.Errorf("waited %s, want 3s", spent)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		value string
		want  time.Duration
	}{
		{"", 0},
		{"0", 0},
		{"7", 7 * time.Second},
		{"-7", 0},
		{"1.5", 0},
		{"99999999999999999999", 0},
		{"Fri, 20 Nov 2026 10:00:30 GMT", 30 * time.Second},
		{"Fri, 20 Nov 2026 09:00:00 GMT", 0},
		{"soon", 0},
	} {
		if got := retryAfter(test.value, now); got != test.want {
			t.Errorf("Retry-After %q: got %s, want %s", test.value, got, test.want)
		}
	}
}

func TestExcerpt(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"  plain\r\n text \x00\x1b[31m ", "plain text [31m"},
		{"\xff\xfeö", "ö"},
		{strings.Repeat("ö", 150), strings.Repeat("ö", 100) + "…"},
	} {
		if got := excerpt([]byte(test.text)); got != test.want {
			t.Errorf("excerpt of %q: got %q, want %q", test.text, got, test.want)
		}
	}
}

func TestClientBounds(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"/announced": func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 101)) },
		"/chunked": func(w http.ResponseWriter, _ *http.Request) {
			for range 101 {
				w.Write([]byte{0})
				w.(http.Flusher).Flush()
			}
		},
		"/fits": func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 100)) },
		"/silent": func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		},
		"/stuck": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "some")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
		"/here": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/fits", http.StatusFound) },
		"/there": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.example/fits", http.StatusFound)
		},
		"/loop": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answers[r.URL.Path](w, r) }))
	defer server.Close()
	const soon = 300 * time.Millisecond
	for _, test := range []struct {
		path, want       string
		header, exchange time.Duration
	}{
		{path: "/fits"},
		{path: "/announced", want: "101 bytes, over the limit of 100"},
		{path: "/chunked", want: "over the limit of 100"},
		{path: "/silent", want: "timeout awaiting response headers", header: soon},
		{path: "/silent", want: "took too long", exchange: soon},
		{path: "/stuck", want: "took too long", exchange: soon},
		{path: "/here"},
		{path: "/there", want: "302 Found: it redirects to http://elsewhere.example/fits, which is not followed"},
		{path: "/loop", want: "302 Found: it redirects to /loop"},
	} {
		t.Run(test.path, func(t *testing.T) {
			c := &Client{Header: test.header, Exchange: test.exchange}
			defer c.CloseIdle()
			a, err := c.send(t.Context(), request{method: http.MethodGet, url: server.URL + test.path}, 100)
			if test.want == "" && (err != nil || len(a.body) != 100) {
				t.Errorf("got %d bytes, %v, want 100", len(a.body), err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %d bytes, %v, want %q", len(a.body), err, test.want)
			}
		})
	}
}

// A body that moves may take longer than Exchange, one that stops may not.
func TestPacedReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late atomic.Bool
		p := &pace{ends: time.Now().Add(10 * time.Second), timer: time.AfterFunc(10*time.Second, func() { late.Store(true) })}
		r := pacedReader{p, sleepyReader{9 * time.Second, 10 * slowest}}
		for range 5 { // ten seconds' worth every nine
			if _, err := io.ReadFull(r, make([]byte, 10*slowest)); err != nil {
				t.Fatalf("read: %v", err)
			}
			synctest.Wait()
			if late.Load() {
				t.Fatalf("cut off after %v, though fast enough", time.Until(p.ends))
			}
		}
		r.r = sleepyReader{9 * time.Second, 1}
		for range 3 {
			r.Read(make([]byte, 1))
		}
		if synctest.Wait(); !late.Load() {
			t.Error("not cut off, though too slow")
		}
	})
}

// sleepyReader gives up to most bytes after each pause.
type sleepyReader struct {
	pause time.Duration
	most  int
}

func (s sleepyReader) Read(b []byte) (int, error) {
	time.Sleep(s.pause) // in a synctest bubble: no real time
	return min(len(b), s.most), nil
}

func FuzzParsePage(f *testing.F) {
	id := strings.Repeat("A", 43)
	f.Add([]byte(`{"data":{"transactions":{"pageInfo":{"hasNextPage":true,"endCursor":"x"},"edges":[{"cursor":"c","node":{"id":"`+id+`","tags":[{"name":"Seq","value":"1"}],"block":{"height":7}}}]}}}`), 2)
	f.Add([]byte(`{"errors":[{"message":"no"}],"data":null}`), 1)
	f.Add([]byte(`{"data":{"transactions":{"edges":[{"node":{"id":"../x"}},{},null]}}}`), 3)
	f.Fuzz(func(t *testing.T, body []byte, limit int) {
		p, err := parsePage(body, limit)
		if err != nil {
			if len(p.nodes) > 0 {
				t.Errorf("%d nodes beside the error %v", len(p.nodes), err)
			}
			return
		}
		for _, n := range p.nodes {
			if !ValidID(n.ID) {
				t.Errorf("id %q was let through", n.ID)
			}
			if ref, err := ParseRef(n.ID, n.Tags); err == nil && (ref.ID != n.ID || ref.Seq == 0 || !ref.Type.valid()) {
				t.Errorf("ref %+v was let through", ref)
			}
		}
		if len(p.nodes) >= limit && !p.more {
			t.Errorf("%d nodes fill a page of %d, and it is taken for the last one", len(p.nodes), limit)
		}
	})
}

func FuzzEvent(f *testing.F) {
	f.Add(`data: {"id":"x","tags":[]}`)
	f.Add(": ready")
	f.Fuzz(func(t *testing.T, line string) {
		var found []Ref
		if err := event(line, Ref{}.DB, func(r Ref) { found = append(found, r) }); err != nil && len(found) > 0 {
			t.Errorf("an item was found in a line with the error %v", err)
		}
		for _, r := range found {
			if !ValidID(r.ID) || r.DB != (Ref{}.DB) {
				t.Errorf("ref %+v was let through", r)
			}
		}
	})
}
