package archive

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// One encoder and one decoder serve the whole process: EncodeAll and DecodeAll
// may be called concurrently and keep no state between calls.
var (
	encoder = must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2),
		zstd.WithZeroFrames(true)))
	decoder = must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(MaxBody),
		zstd.WithDecoderMaxWindow(128<<20), zstd.WithDecodeAllCapLimit(true)))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // constant options: cannot happen
	}
	return v
}

func compress(dst, body []byte) []byte { return encoder.EncodeAll(body, dst) }

// maxRatio is what zstd can do at best: a block of 4 bytes that stands for
// 128 KiB of one byte.
const maxRatio = 128 << 10 / 4

// decompress appends exactly size bytes to dst, or fails. It allocates size
// bytes at most, and only if packed is long enough to hold as many.
func decompress(dst, packed []byte, size int) ([]byte, error) {
	if size/maxRatio > len(packed) {
		return nil, fmt.Errorf("zstd: %d bytes cannot hold the %d that were signed", len(packed), size)
	}
	if cap(dst)-len(dst) < size {
		dst = append(make([]byte, 0, len(dst)+size), dst...) // slices.Grow would copy what is behind the end, too
	}
	out, err := decoder.DecodeAll(packed, dst[:len(dst):len(dst)+size])
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if got := len(out) - len(dst); got != size {
		return nil, fmt.Errorf("zstd: %d bytes, %d were signed", got, size)
	}
	return out, nil
}
