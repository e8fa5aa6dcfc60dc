package node

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/archive"
)

// BenchmarkUpload posts different items of one size, one after the other and
// by several clients at once, with the key that nodes have: RSA-4096.
func BenchmarkUpload(b *testing.B) {
	key, err := rsa.GenerateKey(rand.Reader, 4096)
	if err != nil {
		b.Fatal(err)
	}
	for _, size := range []int{1 << 10, 64 << 10, 4 << 20} {
		data := make([]byte, size)
		rand.Read(data)
		next := 0
		item := func() archive.Item {
			next++
			copy(data, fmt.Sprint(next))
			return foreign(b, 1, string(data), archive.Tag{Name: "n", Value: fmt.Sprint(next)})
		}
		b.Run(fmt.Sprintf("%dKiB/one", size>>10), func(b *testing.B) {
			r := start(b, Options{})
			r.key = key
			var took []time.Duration
			b.SetBytes(int64(size))
			for b.Loop() {
				b.StopTimer()
				i := item()
				b.StartTimer()
				began := time.Now()
				benchPost(b, r, i.Bytes)
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
		b.Run(fmt.Sprintf("%dKiB/eight", size>>10), func(b *testing.B) {
			r := start(b, Options{})
			r.key = key
			items := make(chan []byte, b.N)
			for range b.N {
				items <- item().Bytes
			}
			b.SetBytes(int64(size))
			b.SetParallelism(4) // times GOMAXPROCS
			b.ResetTimer()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					benchPost(b, r, <-items)
				}
			})
		})
	}
}

func benchPost(b *testing.B, r *running, raw []byte) {
	res, err := r.http.Post(r.url+"/tx", octets, bytes.NewReader(raw))
	if err != nil {
		b.Error(err)
		return
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		b.Errorf("upload: %d %s", res.StatusCode, text)
	}
}

// BenchmarkFind asks for 100 records by number in a large index.
func BenchmarkFind(b *testing.B) {
	x, err := openIndex(b.Context(), b.TempDir()+"/index.db")
	if err != nil {
		b.Fatal(err)
	}
	defer x.close()
	const count = 200_000
	began := time.Now()
	for i := 0; i < count; {
		var batch []entry
		for range 1000 {
			batch = append(batch, entry{
				id: base64url(fmt.Appendf(nil, "%032d", i)), sigType: 2, owner: make([]byte, 32), signature: make([]byte, 64),
				tags: recordTagsOf(fmt.Sprint(i%2), "1", "", fmt.Sprint(i/2)),
			})
			i++
		}
		if err := x.add(b.Context(), batch...); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("indexed %d items in %v", count, time.Since(began))
	began = time.Now()
	if err := x.check(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Logf("checked the index in %v", time.Since(began))
	q := query{limit: 200}
	for _, tag := range recordTagsOf("1", "1", "", "") {
		if tag.Name != "Seq" && tag.Name != "Digest" {
			q.tags = append(q.tags, tagMatch{name: tag.Name, values: []string{tag.Value}})
		}
	}
	b.Run("by number", func(b *testing.B) {
		seqs := tagMatch{name: "Seq"}
		for i := range 100 {
			seqs.values = append(seqs.values, fmt.Sprint("1", 70_000+i))
		}
		q := q
		q.tags = append(slices.Clone(q.tags), seqs)
		for b.Loop() {
			if p, err := x.find(b.Context(), q); err != nil || len(p.entries) != 100 {
				b.Fatalf("got %d, %v, want 100", len(p.entries), err)
			}
		}
	})
	b.Run("page", func(b *testing.B) {
		for b.Loop() {
			q.after = base64url(fmt.Appendf(nil, "%032d", count/2))
			if p, err := x.find(b.Context(), q); err != nil || len(p.entries) != 200 {
				b.Fatalf("got %d, %v, want 200", len(p.entries), err)
			}
		}
	})
	b.Run("lookup", func(b *testing.B) {
		for b.Loop() {
			if _, err := x.lookup(b.Context(), base64url(fmt.Appendf(nil, "%032d", count/3))); err != nil {
				b.Fatal(err)
			}
		}
	})
}
