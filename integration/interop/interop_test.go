//go:build interop

// Package interop holds pgbridge's items and its node against programs that
// nobody here wrote: arbundles, the Irys SDK, and arlocal as a gateway. Run by
// make interop, which installs them.
package interop

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/archive/node"
)

const testWallet = "../../archive/testdata/test-wallet.json"

// script runs one of the scripts beside this file and decodes the JSON lines it prints.
func script[T any](t *testing.T, args ...string) []T {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node %v: %v\n%s%s", args, err, out, stderr.Bytes())
	}
	var all []T
	for line := range bytes.Lines(out) {
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("node %v printed %q: %v", args, line, err)
		}
		all = append(all, v)
	}
	return all
}

// sealed makes a genesis and a record of actions, each wrapped by w.
func sealed(t *testing.T, key archive.Key, w archive.Wallet) (records []archive.Record, items []archive.Item) {
	t.Helper()
	genesis, err := archive.Seal(key, archive.Header{Type: archive.TypeGenesis, Epoch: 1, Seq: 1}, []byte("{}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var body action.Body
	body.Begin(action.Tx{LSN: 7, At: 1, Clock: action.Clock{Micros: 1}})
	body.Row(action.NewShape(action.Insert, action.Name{Schema: "app", Name: "post"}, nil, []string{"id", "title"}), [][]byte{[]byte("1"), []byte("häh?")})
	body.End()
	actions, err := archive.Seal(key, archive.Header{
		Type: archive.TypeActions, DB: genesis.Digest, Epoch: 1, Seq: 2, Prev: genesis.Digest, Txs: 1, To: 9,
	}, body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []archive.Record{genesis, actions} {
		item, err := archive.Wrap(w, &r, []string{"app.post.insert"})
		if err != nil {
			t.Fatal(err)
		}
		records, items = append(records, r), append(items, item)
	}
	return records, items
}

func files(t *testing.T, items []archive.Item) (names []string) {
	t.Helper()
	dir := t.TempDir()
	for i, item := range items {
		name := filepath.Join(dir, strconv.Itoa(i)+".item")
		if err := os.WriteFile(name, item.Bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

func newKey(t *testing.T) archive.Key {
	t.Helper()
	key, err := archive.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func wallets(t *testing.T, key archive.Key) map[string]archive.Wallet {
	t.Helper()
	arweave := filepath.Join(t.TempDir(), "wallet.json")
	jwk, err := os.ReadFile(testWallet)
	if err != nil {
		t.Fatal(err)
	}
	ethereum := filepath.Join(t.TempDir(), "eth.key")
	for name, text := range map[string][]byte{arweave: jwk, ethereum: []byte(hex.EncodeToString(bytes.Repeat([]byte{7}, 32)) + "\n")} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := map[string]archive.Wallet{"writer key": archive.KeyWallet(key)}
	for name, file := range map[string]string{"arweave": arweave, "ethereum": ethereum} {
		w, err := archive.LoadWallet(file)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = w
	}
	return all
}

func TestArbundlesVerifiesItems(t *testing.T) {
	key := newKey(t)
	for name, w := range wallets(t, key) {
		t.Run(name, func(t *testing.T) {
			records, items := sealed(t, key, w)
			type verdict struct {
				ID    string            `json:"id"`
				Valid bool              `json:"valid"`
				Tags  map[string]string `json:"tags"`
				Data  string            `json:"data"`
			}
			for i, got := range script[verdict](t, append([]string{"verify.mjs"}, files(t, items)...)...) {
				sum := sha256.Sum256(records[i].Bytes)
				if !got.Valid || got.ID != items[i].ID || got.Data != hex.EncodeToString(sum[:]) {
					t.Errorf("arbundles says %+v of item %s", got, items[i].ID)
				}
				if got.Tags["Digest"] != records[i].Digest.String() || got.Tags["Action"] != "app.post.insert" {
					t.Errorf("arbundles reads the tags %v", got.Tags)
				}
			}
		})
	}
}

// serve starts a node and returns its URL.
func serve(t *testing.T) string {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- n.Serve(t.Context(), listener) }()
	t.Cleanup(func() {
		if err := errors.Join(<-done, n.Close()); err != nil {
			t.Errorf("node ended with: %v", err)
		}
	})
	return "http://" + listener.Addr().String()
}

func TestArbundlesUploadsToTheNode(t *testing.T) {
	type upload struct {
		Name    string `json:"name"`
		Status  int    `json:"status"`
		ID      string `json:"id"`
		Receipt string `json:"receipt"`
		Same    bool   `json:"same"`
		Tags    string `json:"tags"`
	}
	uploads := script[upload](t, "upload.mjs", serve(t), testWallet)
	if len(uploads) != 3 {
		t.Fatalf("%d uploads, want 3", len(uploads))
	}
	for _, u := range uploads {
		if u.Status != http.StatusOK || u.Receipt != u.ID || !u.Same || u.Tags != "App-Name=interop,Wallet="+u.Name {
			t.Errorf("upload: %+v", u)
		}
	}
}

func TestIrysUploadsToTheNode(t *testing.T) {
	type upload struct {
		Price    string `json:"price"`
		Verified bool   `json:"verified"`
		Back     string `json:"back"`
	}
	got := script[upload](t, "irys.mjs", serve(t))
	if len(got) != 1 || !got[0].Verified || got[0].Price != "0" || got[0].Back != "posted by the Irys SDK" {
		t.Errorf("the Irys SDK says %+v", got)
	}
}

// A record that a bundler put on Arweave is found by its number and opened.
func TestRecordThroughArlocal(t *testing.T) {
	key := newKey(t)
	records, items := sealed(t, key, archive.KeyWallet(key))
	url := startArlocal(t)
	script[map[string]any](t, append([]string{"bundle.mjs", url, testWallet}, files(t, items)...)...)

	reader := &archive.Multi{Members: []archive.Finder{&archive.Gateway{URL: url}}}
	refs, err := reader.Find(t.Context(), archive.Query{DB: records[0].Digest, Writer: key.Writer(), Epoch: 1, First: 2, Last: 101})
	if err != nil || len(refs) != 1 {
		t.Fatalf("find: %v, %v", refs, err)
	}
	got, err := reader.Fetch(t.Context(), refs[0])
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != records[1].Digest {
		t.Errorf("digest = %s, want %s", got.Digest, records[1].Digest)
	}
	if refs, err := reader.FindGenesis(t.Context(), records[0].Digest); err != nil || len(refs) != 1 {
		t.Errorf("find genesis: %v, %v", refs, err)
	}
}

func startArlocal(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().(*net.TCPAddr)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "node_modules/arlocal/bin/index.js", strconv.Itoa(address.Port), "--hidelogs")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(cmd.Process.Kill(), cmd.Wait()) })
	url := "http://" + address.String()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 600 {
		if resp, err := http.Get(url + "/info"); err == nil {
			_ = resp.Body.Close()
			return url
		}
		<-tick.C
	}
	t.Fatal("arlocal does not answer")
	return ""
}
