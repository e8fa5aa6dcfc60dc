package archive_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/archive/storetest"
	"github.com/pgbridge/pgbridge/internal/fakearchive"
)

// hasty is a client that gives up soon.
func hasty(t *testing.T) *archive.Client {
	t.Helper()
	c := &archive.Client{
		Connect: 5 * time.Second, Header: 10 * time.Second, Exchange: 10 * time.Second,
		Retry: archive.Backoff{First: time.Millisecond, Longest: 4 * time.Millisecond, Elapsed: 80 * time.Millisecond},
	}
	t.Cleanup(c.CloseIdle)
	return c
}

// patient is a client that goes on trying for as long as a test may take.
func patient(t *testing.T) *archive.Client {
	t.Helper()
	c := hasty(t)
	c.Retry.Elapsed = time.Minute
	return c
}

// bundlers are the ways to upload to a server.
func bundlers(s *fakearchive.Server, c *archive.Client) map[string]*archive.Bundler {
	return map[string]*archive.Bundler{
		"bundlr": {URL: s.URL, Currency: "matic", Addresses: []string{s.Address}, Gateway: &archive.Gateway{URL: s.URL, HTTP: c}, HTTP: c},
		"turbo":  {URL: s.URL, Dialect: archive.Turbo, Addresses: []string{s.Address}, HTTP: c},
	}
}

// TestPutFaults has each fault of an upload twice: it failed, and it failed
// but the item was stored.
func TestPutFaults(t *testing.T) {
	answer, done := fakearchive.Answer, fakearchive.Done
	type script []fakearchive.Fault
	for _, test := range []struct {
		name  string
		post  script
		posts int
	}{
		{"fine", nil, 1},
		{"429", script{answer(429, "")}, 2},
		{"429, stored", script{done(answer(429, ""))}, 1},
		{"429 thrice", script{answer(429, ""), answer(429, ""), answer(429, "")}, 4},
		{"500", script{answer(500, "oops")}, 2},
		{"500, stored", script{done(answer(500, "oops"))}, 1},
		{"502", script{answer(502, "<html>bad gateway</html>")}, 2},
		{"502, stored", script{done(answer(502, ""))}, 1},
		{"503", script{answer(503, "")}, 2},
		{"503, stored", script{done(answer(503, ""))}, 1},
		{"504", script{answer(504, "")}, 2},
		{"504, stored", script{done(answer(504, ""))}, 1},
		{"408", script{answer(408, "")}, 2},
		{"dropped", script{fakearchive.Drop}, 2},
		{"dropped, stored", script{done(fakearchive.Drop)}, 1},
		{"receipt cut off, stored", script{fakearchive.Truncate}, 1},
		{"201, stored", script{done(answer(201, "Transaction already received"))}, 1},
		{"202, stored", script{done(answer(202, ""))}, 1},
		{"200 with nothing, stored", script{done(answer(200, ""))}, 1},
		{"200 with garbage, stored", script{done(answer(200, "<html>"))}, 1},
		{"204, stored", script{done(answer(204, ""))}, 1},
		{"forged receipt, stored", script{done(fakearchive.Forged)}, 1},
		{"receipt of another item, stored", script{done(fakearchive.Misread)}, 1},
		{"dropped, then 503, then stored and 500", script{fakearchive.Drop, answer(503, ""), done(answer(500, ""))}, 3},
	} {
		for _, dialect := range []string{"bundlr", "turbo"} {
			t.Run(test.name+"/"+dialect, func(t *testing.T) {
				s := fakearchive.New(t)
				s.Script(fakearchive.Post, test.post...)
				item := storetest.NewChain(t, "put").Next(t, archive.TypeActions, []byte("body"))
				receipt, err := bundlers(s, patient(t))[dialect].Put(t.Context(), item.Bytes)
				if err != nil || receipt.ID != item.ID {
					t.Fatalf("Put: got %v, %v, want a receipt for %s", receipt.ID, err, item.ID)
				}
				if !s.Has(item.ID) {
					t.Error("Put gave a receipt, and the item is not there")
				}
				if got := s.Asked(fakearchive.Post); got != test.posts {
					t.Errorf("posts: got %d, want %d", got, test.posts)
				}
				if got := s.Charged(item.ID); got != 1 {
					t.Errorf("charged %d times, want once", got)
				}
			})
		}
	}
}

// TestPutEnds has the answers that end an upload without a receipt.
func TestPutEnds(t *testing.T) {
	answer, done := fakearchive.Answer, fakearchive.Done
	type script []fakearchive.Fault
	always := func(f fakearchive.Fault) (s script) {
		for range 1000 {
			s = append(s, f)
		}
		return s
	}
	for _, test := range []struct {
		name   string
		post   script
		status script
		want   error // of ErrMaybe, ErrRejected, ErrFunds; nil: none of them
		posts  int   // 0: any number
	}{
		{name: "400", post: script{answer(400, "invalid signature")}, want: archive.ErrRejected, posts: 1},
		{name: "400, stored", post: script{done(answer(400, ""))}, want: archive.ErrRejected, posts: 1},
		{name: "401", post: script{answer(401, "")}, want: archive.ErrRejected, posts: 1},
		{name: "403", post: script{answer(403, "")}, want: archive.ErrRejected, posts: 1},
		{name: "413", post: script{answer(413, "")}, want: archive.ErrRejected, posts: 1},
		{name: "402", post: script{answer(402, "no balance")}, want: archive.ErrFunds, posts: 1},
		{name: "402, stored", post: script{done(answer(402, ""))}, want: archive.ErrFunds, posts: 1},
		{name: "404", post: script{answer(404, "")}, posts: 1},
		{name: "429 for ever", post: always(answer(429, ""))},
		{name: "429 for an hour", post: script{fakearchive.Busy(3600)}, posts: 1},
		{name: "503 for ever", post: always(answer(503, "")), want: archive.ErrMaybe},
		{name: "dropped for ever", post: always(fakearchive.Drop), want: archive.ErrMaybe},
		{name: "201, not stored", post: script{answer(201, "")}, want: archive.ErrMaybe, posts: 1},
		{name: "202, not stored", post: script{answer(202, "")}, want: archive.ErrMaybe, posts: 1},
		{name: "200 with nothing, not stored", post: script{answer(200, "")}, want: archive.ErrMaybe, posts: 1},
		{name: "200 with an empty object, not stored", post: script{answer(200, "{}")}, want: archive.ErrMaybe, posts: 1},
		{name: "forged receipt, not stored", post: script{fakearchive.Forged}, want: archive.ErrMaybe, posts: 1},
		{name: "receipt of another item, not stored", post: script{fakearchive.Misread}, want: archive.ErrMaybe, posts: 1},
		{name: "answer without end, stored", post: script{done(answer(200, string(make([]byte, 1<<20))))}, status: always(answer(404, "")), want: archive.ErrMaybe, posts: 1},
		{name: "dropped, stored, status down", post: script{done(fakearchive.Drop)}, status: always(answer(500, "")), want: archive.ErrMaybe, posts: 1},
		{name: "503, stored, status down", post: script{done(answer(503, ""))}, status: always(fakearchive.Drop), want: archive.ErrMaybe, posts: 1},
		{name: "202, stored, status unknown", post: script{done(answer(202, ""))}, status: always(answer(404, "")), want: archive.ErrMaybe, posts: 1},
		{name: "202, stored, status nonsense", post: script{done(answer(202, ""))}, status: always(answer(200, `{"status":"GREAT"}`)), want: archive.ErrMaybe, posts: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := fakearchive.New(t)
			s.Script(fakearchive.Post, test.post...)
			s.Script(fakearchive.Status, test.status...)
			item := storetest.NewChain(t, "put").Next(t, archive.TypeActions, []byte("body"))
			_, err := bundlers(s, hasty(t))["turbo"].Put(t.Context(), item.Bytes)
			if err == nil {
				t.Fatal("Put: got a receipt, want an error")
			}
			for _, sentinel := range []error{archive.ErrMaybe, archive.ErrRejected, archive.ErrFunds} {
				if got, want := errors.Is(err, sentinel), errors.Is(test.want, sentinel); got != want {
					t.Errorf("Put: got %q; is it %q: %v, want %v", err, sentinel, got, want)
				}
			}
			if got := s.Asked(fakearchive.Post); test.posts != 0 && got != test.posts {
				t.Errorf("posts: got %d, want %d", got, test.posts)
			}
		})
	}
}

// A server that takes the item and then says nothing must not be paid twice.
func TestPutHangs(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault fakearchive.Fault
		posts int
	}{
		{"not stored", fakearchive.Hang, 2},
		{"stored", fakearchive.Done(fakearchive.Hang), 1},
		{"stored, half a receipt", fakearchive.Drip, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := fakearchive.New(t)
			s.Script(fakearchive.Post, test.fault)
			c := patient(t)
			c.Header, c.Exchange = 5*time.Second, 10*time.Second
			item := storetest.NewChain(t, "put").Next(t, archive.TypeActions, []byte("body"))
			if _, err := bundlers(s, c)["turbo"].Put(t.Context(), item.Bytes); err != nil {
				t.Fatalf("Put: %v", err)
			}
			if posts, charged := s.Asked(fakearchive.Post), s.Charged(item.ID); posts != test.posts || charged != 1 {
				t.Errorf("got %d posts, charged %d times, want %d and 1", posts, charged, test.posts)
			}
		})
	}
}

// Without a pinned address no receipt counts: the status must confirm it.
func TestPutWithoutPin(t *testing.T) {
	for _, test := range []struct {
		name   string
		status fakearchive.Fault
		asked  int
	}{
		{"status knows it", fakearchive.Fine, 1},
		{"status is late", fakearchive.Answer(404, ""), 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := fakearchive.New(t)
			s.Script(fakearchive.Status, test.status)
			item := storetest.NewChain(t, "put").Next(t, archive.TypeActions, []byte("body"))
			b := &archive.Bundler{URL: s.URL, Dialect: archive.Turbo, HTTP: patient(t)}
			receipt, err := b.Put(t.Context(), item.Bytes)
			if err != nil || len(receipt.Raw) == 0 {
				t.Errorf("Put: got %q, %v, want the receipt as evidence", receipt.Raw, err)
			}
			if posts, asked := s.Asked(fakearchive.Post), s.Asked(fakearchive.Status); posts != 1 || asked != test.asked {
				t.Errorf("got %d posts and %d questions, want 1 and %d", posts, asked, test.asked)
			}
		})
	}
}

func TestPutUnreachable(t *testing.T) {
	item := storetest.NewChain(t, "put").Next(t, archive.TypeActions, []byte("body"))
	const url = "http://user:secret@127.0.0.1:1/"
	for want, p := range map[string]archive.Putter{
		"bundlr+http://127.0.0.1:1": &archive.Bundler{URL: url, HTTP: hasty(t)},
		"turbo+http://127.0.0.1:1":  &archive.Bundler{URL: url, Dialect: archive.Turbo, HTTP: hasty(t)},
		" http://127.0.0.1:1":       &archive.Node{URL: url, HTTP: hasty(t)},
	} {
		_, err := p.Put(t.Context(), item.Bytes)
		if err == nil || errors.Is(err, archive.ErrMaybe) || !strings.Contains(err.Error(), want) {
			t.Errorf("Put to nobody: got %v, want an error that is not ErrMaybe and names%s", err, want)
			continue
		}
		expectNoSecret(t, err.Error(), p.Name())
	}
}

// An upload goes where it was sent, or nowhere.
func TestPutRedirected(t *testing.T) {
	elsewhere, s := fakearchive.New(t), fakearchive.New(t)
	for _, to := range []string{elsewhere.URL + "/v1/tx", s.URL + "/v1/tx/other", "/v1/tx/other"} {
		s.Script(fakearchive.Post, fakearchive.Redirect(to))
		item := storetest.NewChain(t, "put").Next(t, archive.TypeActions, []byte("body"))
		if _, err := bundlers(s, hasty(t))["turbo"].Put(t.Context(), item.Bytes); err == nil || !strings.Contains(err.Error(), "redirects to "+to) {
			t.Errorf("Put through a redirect to %s: got %v, want an error that names it", to, err)
		}
		if elsewhere.Has(item.ID) || s.Has(item.ID) {
			t.Errorf("the item was sent on to %s", to)
		}
	}
}

func TestStatus(t *testing.T) {
	for _, dialect := range []string{"bundlr", "turbo"} {
		t.Run(dialect, func(t *testing.T) {
			s := fakearchive.New(t)
			b := bundlers(s, hasty(t))[dialect]
			item := storetest.NewChain(t, "status").Next(t, archive.TypeActions, nil)
			expect := func(want archive.State) {
				t.Helper()
				if got, err := b.Status(t.Context(), item.ID); err != nil || got != want {
					t.Errorf("Status: got %v, %v, want %v", got, err, want)
				}
			}
			expect(archive.Unknown)
			s.Store(item)
			expect(archive.Accepted)
			s.Mine(0)
			expect(archive.Accepted)
			s.Mine(16)
			expect(archive.Accepted)
			s.Mine(0)
			expect(archive.Confirmed)
		})
	}
}

// A failing half of Status must not turn "I could not ask" into "it is not there".
func TestStatusHalfDown(t *testing.T) {
	down, up := fakearchive.New(t), fakearchive.New(t)
	for range 100 {
		down.Script(fakearchive.Index, fakearchive.Answer(http.StatusBadRequest, "no index here"))
	}
	known := storetest.NewChain(t, "status").Next(t, archive.TypeActions, nil)
	unknown := storetest.NewChain(t, "other").Next(t, archive.TypeActions, nil)
	up.Store(known)
	c := hasty(t)
	for _, test := range []struct {
		name             string
		bundler, gateway *fakearchive.Server
		known            archive.State
	}{
		{"bundler down", down, up, archive.Pending},
		{"gateway down", up, down, archive.Accepted},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := &archive.Bundler{URL: test.bundler.URL, Gateway: &archive.Gateway{URL: test.gateway.URL, HTTP: c}, HTTP: c}
			if got, err := b.Status(t.Context(), known.ID); err != nil || got != test.known {
				t.Errorf("Status of a known item: got %v, %v, want %v", got, err, test.known)
			}
			if got, err := b.Status(t.Context(), unknown.ID); err == nil {
				t.Errorf("Status of an unknown item: got %v, want an error", got)
			}
		})
	}
}

// Only a node without blocks has made an item permanent when it takes it.
func TestPutState(t *testing.T) {
	for _, test := range []struct {
		name      string
		blockless bool
		open      func(s *fakearchive.Server, c *archive.Client) archive.Putter
		want      archive.State
	}{
		{"node, pinned", true, func(s *fakearchive.Server, c *archive.Client) archive.Putter {
			return &archive.Node{URL: s.URL, Addresses: []string{s.Address}, HTTP: c}
		}, archive.Confirmed},
		{"node", true, func(s *fakearchive.Server, c *archive.Client) archive.Putter {
			return &archive.Node{URL: s.URL, HTTP: c}
		}, archive.Confirmed},
		{"a bundler, taken for a node", false, func(s *fakearchive.Server, c *archive.Client) archive.Putter {
			return &archive.Node{URL: s.URL, Addresses: []string{s.Address}, HTTP: c}
		}, archive.Accepted},
		{"a bundler, taken for a node without a pin", false, func(s *fakearchive.Server, c *archive.Client) archive.Putter {
			return &archive.Node{URL: s.URL, HTTP: c}
		}, archive.Accepted},
		{"turbo", false, func(s *fakearchive.Server, c *archive.Client) archive.Putter { return bundlers(s, c)["turbo"] }, archive.Accepted},
		{"turbo, with strange receipts", true, func(s *fakearchive.Server, c *archive.Client) archive.Putter { return bundlers(s, c)["turbo"] }, archive.Accepted},
		{"bundlr", false, func(s *fakearchive.Server, c *archive.Client) archive.Putter { return bundlers(s, c)["bundlr"] }, archive.Accepted},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := fakearchive.New(t)
			s.Blockless = test.blockless
			item := storetest.NewChain(t, "state").Next(t, archive.TypeActions, nil)
			receipt, err := test.open(s, patient(t)).Put(t.Context(), item.Bytes)
			if err != nil || receipt.State != test.want {
				t.Errorf("Put: got %v, %v, want %v", receipt.State, err, test.want)
			}
		})
	}
}
