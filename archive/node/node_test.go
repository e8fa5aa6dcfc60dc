package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/archive/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // an import of archive starts one
}

// testKey is made once, and smaller than a real one: it signs eight times quicker.
var testKey = sync.OnceValue(func() []byte {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
})

// newDir is a folder that has a node's key already.
func newDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "node"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "node", "key.pem"), testKey(), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// running is a node that serves.
type running struct {
	*Node
	url  string
	stop func() error // graceful, and closes
	http *http.Client
	t    testing.TB
}

func start(t testing.TB, o Options) *running {
	t.Helper()
	if o.Dir == "" {
		o.Dir = newDir(t)
	}
	n, err := Open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx, l) }()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	r := &running{Node: n, url: "http://" + l.Addr().String(), http: client, t: t}
	r.stop = sync.OnceValue(func() error {
		client.CloseIdleConnections()
		cancel()
		err := <-done
		if closeErr := n.Close(); closeErr != nil {
			t.Errorf("Close: %v", closeErr)
		}
		return err
	})
	t.Cleanup(func() { r.stop() })
	return r
}

// restart serves the same folder again.
func (r *running) restart() *running {
	r.t.Helper()
	if err := r.stop(); err != nil {
		r.t.Fatalf("Serve: %v", err)
	}
	return start(r.t, r.options)
}

func (r *running) do(req *http.Request) (int, []byte, http.Header) {
	r.t.Helper()
	res, err := r.http.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatalf("%s %s: read the answer: %v", req.Method, req.URL.Path, err)
	}
	return res.StatusCode, body, res.Header
}

func (r *running) get(path string) (int, []byte, http.Header) {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.do(req)
}

func (r *running) post(path, contentType string, body io.Reader) (int, []byte) {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodPost, r.url+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	status, answer, _ := r.do(req)
	return status, answer
}

// put uploads an item and checks the receipt.
func (r *running) put(item archive.Item) archive.Promise {
	r.t.Helper()
	status, body := r.post("/v1/tx", "application/octet-stream", bytes.NewReader(item.Bytes))
	if status != http.StatusOK {
		r.t.Fatalf("upload: got %d %s, want 200", status, body)
	}
	p, err := archive.VerifyReceipt(body, item.ID, []string{r.Address()})
	if err != nil {
		r.t.Fatalf("upload: the receipt: %v", err)
	}
	return p
}

// ask asks GraphQL for data, which it reads into answer.
func (r *running) ask(answer any, query string, variables map[string]any) {
	r.t.Helper()
	status, body := r.askRaw(query, variables)
	j := struct {
		Data   any
		Errors []struct{ Message string }
	}{Data: answer}
	if err := json.Unmarshal(body, &j); err != nil || status != http.StatusOK || len(j.Errors) > 0 {
		r.t.Fatalf("query %s: got %d %s (%v)", query, status, body, err)
	}
}

func (r *running) askRaw(query string, variables map[string]any) (int, []byte) {
	r.t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		r.t.Fatal(err)
	}
	return r.post("/graphql", "application/json", bytes.NewReader(body))
}

// foreign is an item that is not pgbridge's.
func foreign(t testing.TB, seed byte, data string, tags ...archive.Tag) archive.Item {
	t.Helper()
	item, err := archive.SignItem(archive.KeyWallet(archive.KeyFromSeed([32]byte{seed})), tags, []byte(data))
	if err != nil {
		t.Fatalf("sign item: %v", err)
	}
	return item
}

func chainItems(t *testing.T, name string, count int) []archive.Item {
	t.Helper()
	c := storetest.NewChain(t, name)
	items := make([]archive.Item, count)
	for i := range items {
		items[i] = c.Next(t, archive.TypeActions, fmt.Append(nil, name, i))
	}
	return items
}

// logged is what a node has logged.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
