package archive

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

var benchSizes = []struct {
	name string
	size int
}{{"1KiB", 1 << 10}, {"100KiB", 100 << 10}, {"4MiB", 4 << 20}}

// rows is text like the body of an actions record, that compresses about
// as well as one.
func rows(size int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 0, size+200)
	for id := 0; len(b) < size; id++ {
		b = fmt.Appendf(b, `{"lsn":"0/%X","xid":%d,"actions":[{"action":"app.create_post","params":{"id":"%d","title":"%x"}}]}`+"\n",
			0x16B3748+id*120, 700+id, id, random.Uint64())
	}
	return b[:size]
}

// noise does not compress, so that a record of it is about as large.
func noise(size int) []byte {
	b := make([]byte, size)
	source := rand.NewChaCha8([32]byte{})
	_, _ = source.Read(b)
	return b
}

func benchSealed(b *testing.B, body []byte) Record {
	b.Helper()
	r, err := Seal(KeyFromSeed(recordSeed), actionsHeader(), body)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func BenchmarkSeal(b *testing.B) {
	for _, s := range benchSizes {
		b.Run(s.name, func(b *testing.B) {
			body := rows(s.size)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				benchSealed(b, body)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, s := range benchSizes {
		b.Run(s.name, func(b *testing.B) {
			r := benchSealed(b, rows(s.size))
			b.SetBytes(int64(s.size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Open(r.Bytes); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBody(b *testing.B) {
	for _, s := range benchSizes {
		b.Run(s.name, func(b *testing.B) {
			r := benchSealed(b, rows(s.size))
			buffer := make([]byte, 0, s.size)
			b.SetBytes(int64(s.size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Body(buffer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWrap(b *testing.B) {
	wallets := []struct {
		name string
		text string
	}{
		{"ed25519", string(KeyFromSeed(recordSeed).Encode())}, {"Ethereum", ethKey}, {"Arweave", arweaveKey(b)},
	}
	for _, wallet := range wallets {
		w, err := parseWallet([]byte(wallet.text))
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range benchSizes {
			b.Run(wallet.name+"/"+s.name, func(b *testing.B) {
				r := benchSealed(b, noise(s.size))
				b.SetBytes(int64(len(r.Bytes)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Wrap(w, &r, []string{"app.create_post"}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkParseItem(b *testing.B) {
	for _, s := range benchSizes {
		b.Run(s.name, func(b *testing.B) {
			item := wrapped(b, benchSealed(b, noise(s.size)), "app.create_post")
			b.SetBytes(int64(len(item.Bytes)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseItem(item.Bytes); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, name := range []string{"ethereum", "arweave"} {
		b.Run(name, func(b *testing.B) {
			raw := mustRead(b, "testdata/arbundles-"+name+".item")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseItem(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
