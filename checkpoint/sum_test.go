package checkpoint

import (
	"crypto/sha256"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

// bySlow is the definition, word for word.
func bySlow(lines []string) string {
	total := new(big.Int)
	for _, line := range lines {
		h := sha256.Sum256([]byte(line))
		total.Add(total, new(big.Int).SetBytes(h[:]))
	}
	total.Mod(total, new(big.Int).Lsh(big.NewInt(1), 256))
	return fmt.Sprintf("%064x", total)
}

func TestSum(t *testing.T) {
	var lines []string
	for i := range 1000 { // enough that the sum goes over 2^256 many times
		lines = append(lines, fmt.Sprintf("%d\t%s", i%700, strings.Repeat("x", i%90)))
	}
	lines = append(lines, "", `\N`, `a\tb`)
	want := bySlow(lines)
	rand.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })

	var whole, first, second Sum
	for i, line := range lines {
		whole.Add([]byte(line))
		if i%3 == 0 {
			first.Add([]byte(line))
		} else {
			second.Add([]byte(line))
		}
	}
	first.Merge(&second)
	var text Sum
	if err := text.AddText([]byte(strings.Join(lines, "\n") + "\n")); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*Sum{"row by row": &whole, "merged": &first, "text": &text} {
		if got := s.Digest().String(); got != want || s.Rows() != int64(len(lines)) {
			t.Errorf("%s: got %d rows, %s, want %d, %s", name, s.Rows(), got, len(lines), want)
		}
	}
	var none Sum
	if !none.Digest().IsZero() {
		t.Errorf("no rows: got %s, want zero", none.Digest())
	}
	if err := none.AddText([]byte("a\nb")); err == nil {
		t.Error("a row that was cut off was taken")
	}
}

func TestSumAllocatesNothing(t *testing.T) {
	var s Sum
	line := []byte("1\tsome text\t2026-01-01 00:00:00+00")
	if n := testing.AllocsPerRun(100, func() { s.Add(line) }); n > 0 {
		t.Errorf("got %v allocations per row, want 0", n)
	}
}
