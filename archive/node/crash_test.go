package node

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/archive/storetest"
)

// spawn runs a node as a process of its own, and returns its URL and what
// kills it.
func spawn(t *testing.T, dir string) (url string, kill func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
	})
	t.Cleanup(kill)
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the node's address: %v", err)
	}
	return "http://" + strings.TrimSpace(address), kill
}

// After kill -9 in the middle of uploads, all that was promised is there, and
// nothing that is half.
func TestKill(t *testing.T) {
	dir := newDir(t)
	random := rand.New(rand.NewPCG(3, 4))
	var promised, posted sync.Map // id → data
	count := 0
	for round := range 5 {
		url, kill := spawn(t, dir)
		before := 0
		promised.Range(func(id, data any) bool {
			before++
			if got, status := fetch(t, url+"/"+id.(string)); status != 200 || !bytes.Equal(got, data.([]byte)) {
				t.Errorf("round %d: item %s was promised: got %d and %d bytes, want %d", round, id, status, len(got), len(data.([]byte)))
			}
			return true
		})
		ctx, cancel := context.WithCancel(t.Context())
		var posting sync.WaitGroup
		answered := make(chan bool, 1000)
		for lane := range 4 {
			c := storetest.NewChain(t, fmt.Sprint("kill ", round, lane))
			var items []archive.Item
			for i := range 60 {
				body := make([]byte, 1<<(6+(i*7+lane)%14))
				rand.NewChaCha8([32]byte{byte(i), byte(lane), byte(round)}).Read(body)
				items = append(items, c.Next(t, archive.TypeActions, body))
			}
			posting.Go(func() {
				for _, item := range items {
					posted.Store(item.ID, item.Data)
					if post(ctx, url, item) != nil {
						return
					}
					promised.Store(item.ID, item.Data)
					answered <- true
				}
			})
		}
		for range 10 + random.IntN(30) {
			<-answered
		}
		kill()
		cancel()
		posting.Wait()
		promised.Range(func(any, any) bool { count++; return true })
		count -= before
	}
	if count < 50 {
		t.Errorf("only %d items were promised: the test proves little", count)
	}

	r := start(t, Options{Dir: dir})
	served := 0
	posted.Range(func(id, data any) bool {
		_, wasPromised := promised.Load(id)
		status, got, _ := r.get("/" + id.(string))
		switch {
		case status == 200 && !bytes.Equal(got, data.([]byte)):
			t.Errorf("item %s: got %d bytes, want %d", id, len(got), len(data.([]byte)))
		case status != 200 && wasPromised:
			t.Errorf("item %s was promised: got %d", id, status)
		case status == 200:
			served++
		}
		return true
	})
	height, err := r.index.height(t.Context())
	if err != nil || int(height) != served {
		t.Errorf("the index has %d items (%v), served are %d", height, err, served)
	}
	for _, file := range itemFiles(t, dir) {
		if !strings.HasSuffix(file, ".item") {
			continue // an interrupted write, never read
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := archive.ParseItem(raw); err != nil {
			t.Errorf("file %s: %v", file, err)
		}
	}
}

func fetch(t *testing.T, url string) ([]byte, int) {
	t.Helper()
	res, err := plainClient.Get(url)
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	return b, res.StatusCode
}

// plainClient leaves no connection behind.
var plainClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func post(ctx context.Context, url string, item archive.Item) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/tx", bytes.NewReader(item.Bytes))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", octets)
	res, err := plainClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}
