package node

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/archive"
)

func TestRoutes(t *testing.T) {
	r := start(t, Options{})
	item := foreign(t, 1, "<p>hello</p>", archive.Tag{Name: "Content-Type", Value: "text/html"}, archive.Tag{Name: "a", Value: "b"})
	r.put(item)
	unknown := foreign(t, 2, "unknown").ID
	for _, test := range []struct {
		path   string
		status int
		kind   string
		body   string // part of it
	}{
		{"/" + item.ID, 200, "text/html", "<p>hello</p>"},
		{"/raw/" + item.ID, 200, "text/html", "<p>hello</p>"},
		{"/tx/" + item.ID + "/data", 200, "text/html", "<p>hello</p>"},
		{"/item/" + item.ID, 200, octets, string(item.Bytes)},
		{"/tx/" + item.ID, 200, "application/json", `"tags":[{"name":"Content-Type","value":"text/html"},{"name":"a","value":"b"}]`},
		{"/tx/" + item.ID, 200, "application/json", `"dataSize":12`},
		{"/v1/tx/" + item.ID + "/status", 200, "application/json", `"status":"FINALIZED"`},
		{"/v1/tx/" + unknown + "/status", 404, "text/plain", ""},
		{"/tx/" + unknown, 404, "text/plain", ""},
		{"/" + unknown, 404, "text/plain", ""},
		{"/item/" + unknown, 404, "text/plain", ""},
		{"/item/..%2f..%2fnode%2fkey.pem", 404, "text/plain", ""},
		{"/node/key.pem", 404, "text/plain", ""},
		{"/raw/" + item.ID[:42], 404, "text/plain", ""},
		{"/", 200, "application/json", `"arweave":"` + r.Address() + `"`},
		{"/info", 200, "application/json", `"height":1`},
		{"/v1/info", 200, "application/json", `"freeUploadLimitBytes":`},
		{"/public", 200, "text/plain", base64url(r.key.N.Bytes())},
		{"/price/arweave/1000", 200, "text/plain", "0"},
		{"/price/arweave/x", 400, "text/plain", ""},
		{"/v1/price/bytes/1000", 200, "application/json", `"winc":"0"`},
		{"/account/balance", 200, "application/json", `{"balance":"0"}`},
		{"/account/balance/ethereum?address=0x00", 200, "application/json", `{"balance":"0"}`},
		{"/v1/account/balance", 200, "application/json", `"effectiveBalance":"0"`},
		{"/v1/account/balance/ethereum?address=0x00", 200, "application/json", `"winc":"0"`},
		{"/events", 400, "text/plain", "db-id"},
		{"/events?db=00", 400, "text/plain", "db-id"},
		{"/graphql", 404, "text/plain", ""},
	} {
		status, body, header := r.get(test.path)
		if status != test.status || !strings.HasPrefix(header.Get("Content-Type"), test.kind) || !strings.Contains(string(body), test.body) {
			t.Errorf("GET %s: got %d %s %.200q, want %d %s %q", test.path, status, header.Get("Content-Type"), body, test.status, test.kind, test.body)
		}
	}
}

func TestDataRangesAndHeaders(t *testing.T) {
	r := start(t, Options{})
	item := foreign(t, 1, "0123456789", archive.Tag{Name: "Content-Type", Value: "bad\x01type; ="})
	r.put(item)
	req, err := http.NewRequest(http.MethodGet, r.url+"/"+item.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", "bytes=2-4")
	status, body, header := r.do(req)
	if status != http.StatusPartialContent || string(body) != "234" {
		t.Errorf("a range: got %d %q, want 206 and 234", status, body)
	}
	for name, want := range map[string]string{
		"Content-Type": octets, "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'",
		"ETag": `"` + item.ID + `"`, "Content-Range": "bytes 2-4/10",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("header %s: got %q, want %q", name, got, want)
		}
	}
	req.Method = http.MethodHead
	req.Header.Del("Range")
	if status, body, header := r.do(req); status != 200 || len(body) != 0 || header.Get("Content-Length") != "10" {
		t.Errorf("HEAD: got %d, %d bytes, length %s, want 200, none, 10", status, len(body), header.Get("Content-Length"))
	}
}

func TestDamagedFileIsNotServed(t *testing.T) {
	r := start(t, Options{})
	item := foreign(t, 1, "0123456789")
	r.put(item)
	file := filepath.Join(r.options.Dir, archive.Path(&item))
	if err := os.Truncate(file, int64(len(item.Bytes)-3)); err != nil {
		t.Fatal(err)
	}
	if status, body, _ := r.get("/" + item.ID); status != 404 || !strings.Contains(string(body), "damaged") {
		t.Errorf("a truncated file: got %d %s, want 404", status, body)
	}
	r.put(item) // heals it
	if status, body, _ := r.get("/" + item.ID); status != 200 || string(body) != "0123456789" {
		t.Errorf("after a new upload: got %d %s, want the data", status, body)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := r.get("/" + item.ID); status != 404 {
		t.Errorf("a file that is gone: got %d, want 404", status)
	}
}

func TestMetaIsComplete(t *testing.T) {
	r := start(t, Options{})
	item := foreign(t, 1, "x")
	p := r.put(item)
	_, body, _ := r.get("/tx/" + item.ID)
	var j struct {
		ID, Signature, Owner, OwnerAddress, Address, Target, Anchor, Currency string
		Tags                                                                  []tag
		Timestamp                                                             int64
	}
	if err := json.Unmarshal(body, &j); err != nil {
		t.Fatal(err)
	}
	if j.ID != item.ID || j.Signature != base64url(item.Bytes[2:66]) || j.Owner != base64url(item.Owner) || j.OwnerAddress != item.Address() ||
		j.Target != "" || j.Anchor != "" || j.Currency != "solana" || j.Tags == nil || j.Timestamp != p.Timestamp {
		t.Errorf("meta: got %s", body)
	}
	if _, whole, _ := r.get("/item/" + item.ID); !bytes.Equal(whole, item.Bytes) {
		t.Error("the whole item is not what was put")
	}
}
