// Package fakearchive is a bundler and a gateway in memory, over HTTP, for
// tests only. It speaks the dialects of Bundlr, Turbo and the gateways, fails
// as it is told to (Script), and reports to the test what no client may do:
// two records with one number, an upload without a length, a page too small
// for its window.
package fakearchive

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/pgbridge/pgbridge/archive"
)

// Server is the bundler and gateway. Its fields are set before the first
// request, its methods may be called at any time.
type Server struct {
	// URL is its base.
	URL string
	// Address is that of the key that signs its receipts.
	Address string
	// Forks lets two records have one number, which is a fault otherwise.
	Forks bool
	// Blockless makes it like pgbridge's node: what is stored is final.
	Blockless bool
	// Lie changes what the index answers, nil leaves it. It gets all that
	// matches, before paging.
	Lie func([]Node) []Node
	// Endless makes each page of the index the first one, and never the last.
	Endless bool
	// Last makes each page say that it is the last one.
	Last bool

	t      testing.TB
	http   *httptest.Server
	mu     sync.Mutex
	nodes  []Node
	data   map[string][]byte
	digest map[string]string // what has the number, by its name
	script map[Route][]Fault
	asked  map[Route]int
	bought map[string]int
	height int64
	feeds  map[*feed]bool
	gone   chan struct{}
}

// Node is an item as the index has it.
type Node struct {
	ID     string
	Owner  string
	Tags   []archive.Tag
	Height int64 // of its block, 0 while it is in none
}

// New starts a server that stops with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{
		Address: archive.Address(receiptKey().N.Bytes()),
		t:       t,
		data:    map[string][]byte{},
		digest:  map[string]string{},
		script:  map[Route][]Fault{},
		asked:   map[Route]int{},
		bought:  map[string]int{},
		height:  1000,
		feeds:   map[*feed]bool{},
		gone:    make(chan struct{}),
	}
	mux := http.NewServeMux()
	for _, pattern := range []string{"POST /tx", "POST /tx/{currency}", "POST /v1/tx", "POST /v1/tx/{currency}"} {
		mux.HandleFunc(pattern, s.scripted(Post, s.post))
	}
	mux.HandleFunc("GET /v1/tx/{id}/status", s.scripted(Status, s.status))
	mux.HandleFunc("POST /graphql", s.scripted(Index, s.index))
	mux.HandleFunc("GET /raw/{id}", s.scripted(Data, s.get))
	mux.HandleFunc("GET /tx/{id}/data", s.scripted(Data, s.get))
	mux.HandleFunc("GET /{id}", s.scripted(Data, s.get))
	mux.HandleFunc("GET /events", s.scripted(Events, s.events))
	s.http = httptest.NewServer(mux)
	s.URL = s.http.URL
	t.Cleanup(s.stop)
	return s
}

func (s *Server) stop() {
	close(s.gone)
	s.http.CloseClientConnections()
	s.http.Close()
}

// Store keeps an item behind the API's back: nothing is checked or charged.
func (s *Server) Store(item archive.Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(&item)
}

// Plant puts items into the index that nobody can fetch.
func (s *Server) Plant(nodes ...Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes = append(s.nodes, nodes...)
}

// Serve makes id answer with data, whatever the index says.
func (s *Server) Serve(id string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data[id] = data
}

// Mine puts all that is in no block into the next one, and blocks more on top.
func (s *Server) Mine(blocks int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.height++
	for i := range s.nodes {
		if s.nodes[i].Height == 0 {
			s.nodes[i].Height = s.height
		}
	}
	s.height += blocks
}

// Has tells whether the item was stored.
func (s *Server) Has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data[id] != nil
}

// Charged is how often the item was paid for.
func (s *Server) Charged(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bought[id]
}

// Asked is how many requests came to a route.
func (s *Server) Asked(on Route) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[on]
}

func (s *Server) post(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength < 0 {
		s.t.Errorf("an upload came without Content-Length")
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	item, err := archive.ParseItem(raw)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	known := s.data[item.ID] != nil
	if !known {
		s.keep(&item)
	}
	turbo := r.URL.Path[:2] == "/v"
	if !known || turbo { // Turbo charges again
		s.bought[item.ID]++
	}
	s.mu.Unlock()
	if known && !turbo {
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, "Transaction already received")
		return
	}
	writeJSON(w, receipt(s.t, receiptKey(), item.ID, s.deadline()))
}

// deadline is the height of the block that a receipt promises.
func (s *Server) deadline() int64 {
	if s.Blockless {
		return 0
	}
	return 1200
}

// keep stores an item. The caller holds mu.
func (s *Server) keep(item *archive.Item) {
	s.data[item.ID] = item.Data
	s.nodes = append(s.nodes, Node{ID: item.ID, Owner: item.Address(), Tags: item.Tags})
	ref, err := item.Ref()
	if err != nil {
		return
	}
	number := fmt.Sprint(ref.DB, ref.Writer, ref.Epoch, ref.Seq)
	if !ref.Type.Chained() {
		number += string(ref.Type) // a series of its own
	}
	if before, taken := s.digest[number]; taken && before != ref.Digest.String() && !s.Forks {
		s.t.Errorf("record %d of epoch %d by %s was stored with two digests: %s and %s", ref.Seq, ref.Epoch, ref.Writer, before, ref.Digest)
	}
	s.digest[number] = ref.Digest.String()
	for f := range s.feeds {
		if f.db == ref.DB.String() {
			f.nodes <- s.nodes[len(s.nodes)-1]
		}
	}
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.nodes {
		if n.ID != r.PathValue("id") {
			continue
		}
		state := "CONFIRMED"
		if s.Blockless || n.Height != 0 && s.height-n.Height >= 18 {
			state = "FINALIZED"
		}
		writeJSON(w, map[string]any{"status": state, "info": "pending"})
		return
	}
	http.Error(w, "TX doesn't exist", http.StatusNotFound)
}

func (s *Server) get(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	data, ok := s.data[r.PathValue("id")]
	s.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Write(data)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// NewID is an item id that is of no item.
func NewID(n byte) string {
	sum := [32]byte{n, 0xfe}
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
