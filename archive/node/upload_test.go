package node

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/archive"
)

const octets = "application/octet-stream"

func TestUploadPaths(t *testing.T) {
	r := start(t, Options{})
	for i, path := range []string{"/tx", "/tx/solana", "/v1/tx", "/v1/tx/ethereum"} {
		item := foreign(t, byte(i+1), path)
		status, body := r.post(path, octets, bytes.NewReader(item.Bytes))
		if status != http.StatusOK {
			t.Errorf("POST %s: got %d %s, want 200", path, status, body)
		}
		p, err := archive.VerifyReceipt(body, item.ID, []string{r.Address()})
		if err != nil {
			t.Errorf("POST %s: the receipt: %v", path, err)
		}
		if age := time.Since(time.UnixMilli(p.Timestamp)); age < -time.Second || age > time.Minute {
			t.Errorf("POST %s: the receipt is %v old, want it new", path, age)
		}
		for _, field := range []string{`"winc":"0"`, `"owner":"`, `"dataCaches":[]`, `"fastFinalityIndexes":[]`, `"deadlineHeight":0`} {
			if !strings.Contains(string(body), field) {
				t.Errorf("POST %s: the receipt %s lacks %s", path, body, field)
			}
		}
	}
}

func TestUploadRefused(t *testing.T) {
	r := start(t, Options{MaxItem: 100 << 10})
	item := foreign(t, 1, "hello", archive.Tag{Name: "a", Value: "b"})
	flipped := bytes.Clone(item.Bytes)
	flipped[len(flipped)-1] ^= 1
	for _, test := range []struct {
		name, kind string
		body       io.Reader
		want       int
		text       string
	}{
		{"no content type", "", bytes.NewReader(item.Bytes), 400, "application/octet-stream"},
		{"JSON", "application/json", bytes.NewReader(item.Bytes), 400, "application/octet-stream"},
		{"a form", "application/x-www-form-urlencoded", bytes.NewReader(item.Bytes), 400, "application/octet-stream"},
		{"nothing", octets, nil, 400, "cut short"},
		{"text", octets, strings.NewReader("hello"), 400, ""},
		{"cut short", octets, bytes.NewReader(item.Bytes[:len(item.Bytes)-1]), 400, "signature"},
		{"changed", octets, bytes.NewReader(flipped), 400, "signature"},
		{"too large, announced", octets, bytes.NewReader(make([]byte, 100<<10+1)), 413, "102400"},
		{"too large, in chunks", octets, struct{ io.Reader }{bytes.NewReader(make([]byte, 100<<10+1))}, 413, "102400"},
		{"type and length without end", octets, io.LimitReader(endless{}, 1<<30), 413, "102400"},
	} {
		t.Run(test.name, func(t *testing.T) {
			req, err := http.NewRequest(http.MethodPost, r.url+"/tx", test.body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", test.kind)
			res, err := r.http.Do(req)
			if err != nil {
				t.Fatalf("upload: %v", err)
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != test.want || !strings.Contains(string(body), test.text) {
				t.Errorf("upload: got %d %s, want %d and %q", res.StatusCode, body, test.want, test.text)
			}
		})
	}
	if files := itemFiles(t, r.options.Dir); len(files) > 0 {
		t.Errorf("files after refusals: got %v, want none", files)
	}
	r.put(item) // it still works
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// itemFiles are all files in the folder but the node's own.
func itemFiles(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "node" {
			return filepath.SkipDir
		}
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestUploadInChunks(t *testing.T) {
	r := start(t, Options{})
	item := foreign(t, 1, strings.Repeat("0123456789", 1<<20))
	status, body := r.post("/tx", octets, struct{ io.Reader }{bytes.NewReader(item.Bytes)})
	if status != http.StatusOK {
		t.Fatalf("upload without a length: got %d %s, want 200", status, body)
	}
	if _, got, _ := r.get("/" + item.ID); !bytes.Equal(got, item.Data) {
		t.Errorf("data: got %d bytes, want %d", len(got), len(item.Data))
	}
}

// The clients of Irys and Turbo take nothing but 200 and a receipt for success.
func TestUploadTwice(t *testing.T) {
	r := start(t, Options{})
	item := chainItems(t, "twice", 1)[0]
	first := r.put(item)
	again := r.put(item)
	later := r.restart().put(item)
	for name, p := range map[string]archive.Promise{"again": again, "after a restart": later} {
		if p.Timestamp != first.Timestamp || p.ID != first.ID || p.Version != first.Version || p.DeadlineHeight != first.DeadlineHeight {
			t.Errorf("receipt %s: got %+v, want the promise of the first: %+v", name, p, first)
		}
	}
	if files := itemFiles(t, r.options.Dir); len(files) != 1 {
		t.Errorf("files: got %v, want one", files)
	}
}

// A folder that cannot be written is no fault of the item: it may be sent again.
func TestUploadCannotBeStored(t *testing.T) {
	log := &logged{}
	r := start(t, Options{Log: log.logger()})
	item := foreign(t, 1, "x")
	tmp := filepath.Join(r.options.Dir, "tmp")
	check(t, os.WriteFile(tmp, nil, 0o600)) // where a directory should be
	status, body := r.post("/tx", octets, bytes.NewReader(item.Bytes))
	if status != http.StatusServiceUnavailable || !strings.Contains(string(body), "cannot write") || strings.Contains(string(body), r.options.Dir) {
		t.Errorf("upload: got %d %s, want 503, and no word of where the folder is", status, body)
	}
	if !strings.Contains(log.String(), tmp) {
		t.Errorf("log: got %s, want it to name %s", log, tmp)
	}
	check(t, os.Remove(tmp))
	r.put(item)
}

func TestAnswersToFaults(t *testing.T) {
	for _, test := range []struct {
		err  error
		want int
	}{
		{fmt.Errorf("x: %w", &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}), 507},
		{fmt.Errorf("%w: %w", errStore, &os.PathError{Op: "write", Path: "x", Err: syscall.EDQUOT}), 507},
		{fmt.Errorf("%w: %w", errStore, &os.PathError{Op: "write", Path: "x", Err: syscall.EROFS}), 503},
		{fmt.Errorf("x: %w", archive.ErrNotFound), 404},
		{fmt.Errorf("%w: x", errQuery), 400},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), 503},
		{fmt.Errorf("%w: x", errDamaged), 500},
		{errors.New("x"), 500},
	} {
		if got := refusalOf(test.err); got.status != test.want || !errors.Is(got, test.err) {
			t.Errorf("answer to %v: got %d, want %d", test.err, got.status, test.want)
		}
	}
}

// A header's word takes no memory: who announces much and sends nothing does
// not keep others out.
func TestUploadAnnouncesMuch(t *testing.T) {
	r := start(t, Options{MaxItem: 1 << 30, Memory: 64 << 20, Uploads: 20})
	for range 8 {
		send, stop := hang(t, r, 1<<30, 1000)
		defer stop()
		<-send
	}
	until(t, "all have begun", func() bool { return !r.uploads.TryAcquire(13) || release(r, 13) })
	r.put(foreign(t, 1, "small"))
}

func TestUploadWithoutMemory(t *testing.T) {
	r := start(t, Options{MaxItem: 64 << 20, Memory: 6 << 20})
	large := foreign(t, 1, strings.Repeat("x", 8<<20))
	if status, body := r.post("/tx", octets, bytes.NewReader(large.Bytes)); status != http.StatusServiceUnavailable {
		t.Errorf("an upload that there is no memory for: got %d %s, want 503", status, body)
	}
	for i := range 5 { // what it held was given back
		r.put(foreign(t, byte(i), strings.Repeat("y", 4<<20)))
	}
}

// hang begins an upload that announces length bytes and stops after sent. The
// channel closes once these are on their way.
func hang(t *testing.T, r *running, length int64, sent int) (<-chan struct{}, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	sending := make(chan struct{})
	body, in := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/tx", body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = length
	req.Header.Set("Content-Type", octets)
	var done sync.WaitGroup
	done.Go(func() {
		in.Write(make([]byte, sent)) // the server may refuse it
		close(sending)
	})
	done.Go(func() {
		if res, err := r.http.Do(req); err == nil {
			res.Body.Close()
		}
	})
	return sending, func() {
		cancel()
		in.CloseWithError(context.Canceled)
		done.Wait()
	}
}

// What is under way when the node is told to stop is finished.
func TestGracefulStop(t *testing.T) {
	r := start(t, Options{})
	item := foreign(t, 1, strings.Repeat("x", 200_000))
	body, in := io.Pipe()
	req, err := http.NewRequest(http.MethodPost, r.url+"/tx", body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(item.Bytes))
	req.Header.Set("Content-Type", octets)
	answered := make(chan error, 1)
	go func() {
		res, err := r.http.Do(req)
		if err == nil {
			defer res.Body.Close()
			if res.StatusCode != http.StatusOK {
				err = fmt.Errorf("status %d", res.StatusCode)
			}
		}
		answered <- err
	}()
	if _, err := in.Write(item.Bytes[:100_000]); err != nil {
		t.Fatal(err)
	}
	until(t, "the upload has begun", func() bool { return !r.uploads.TryAcquire(64) || release(r, 64) })
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	until(t, "no more connections are taken", func() bool {
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(r.url + "/info")
		if err == nil {
			res.Body.Close()
		}
		return err != nil
	})
	if _, err := in.Write(item.Bytes[100_000:]); err != nil {
		t.Fatal(err)
	}
	in.Close()
	if err := <-answered; err != nil {
		t.Errorf("the upload under way: got %v, want 200", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve: got %v, want nil", err)
	}
}

func release(r *running, n int64) bool {
	r.uploads.Release(n)
	return false
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// FuzzUpload: whatever is posted, the node answers, and takes nothing that
// ParseItem does not.
func FuzzUpload(f *testing.F) {
	r := start(f, Options{MaxItem: 1 << 20})
	good := foreign(f, 1, "good", archive.Tag{Name: "a", Value: "b"})
	f.Add(good.Bytes)
	f.Add(good.Bytes[:50])
	f.Add([]byte{})
	f.Add(append(bytes.Clone(good.Bytes), 1))
	f.Fuzz(func(t *testing.T, raw []byte) {
		res, err := r.http.Post(r.url+"/tx", octets, bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			t.Fatalf("upload: %v", err)
		}
		defer res.Body.Close()
		io.Copy(io.Discard, res.Body)
		_, invalid := archive.ParseItem(raw)
		if (res.StatusCode == http.StatusOK) != (invalid == nil) {
			t.Errorf("upload of %d bytes: got %d, ParseItem says %v", len(raw), res.StatusCode, invalid)
		}
	})
}
