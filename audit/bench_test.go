package audit

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

// BenchmarkVerify reads records of about 4 MiB of rows, as a busy writer makes
// them. The rate is of bytes as stored.
func BenchmarkVerify(b *testing.B) {
	w := newWriter(b)
	random := rand.NewChaCha8([32]byte{1})
	for n := range 100 {
		w.next(line{write: func(body *action.Body) {
			shape := action.NewShape(action.Insert, post, nil, []string{"id", "title"})
			noise := make([]byte, 30)
			for i := range 30_000 {
				_, _ = random.Read(noise) // never fails
				body.Row(shape, [][]byte{fmt.Append(nil, n*30_000+i), fmt.Append(nil, "a title with words ", hex.EncodeToString(noise), " and more words")})
			}
		}})
	}
	a := folder(b, w.items...)
	b.ReportAllocs()
	for b.Loop() {
		r, err := (&Verify{Archives: []Archive{a}, DB: w.db}).Run(b.Context())
		if err != nil || len(r.Faults) > 0 {
			b.Fatal(err, r.Faults)
		}
		b.SetBytes(r.Bytes)
	}
}
