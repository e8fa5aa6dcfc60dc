package archive

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// One encoder and one decoder serve the whole process: EncodeAll and DecodeAll
// may be called concurrently and keep no state between calls.
var (
	encoder = must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2)))
	decoder = must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(MaxBody)))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // constant options: cannot happen
	}
	return v
}

func compress(dst, body []byte) []byte { return encoder.EncodeAll(body, dst) }

// decompress appends exactly size bytes to dst, or fails. The frame's own
// claim of its size is compared first, so nothing is allocated on its word.
func decompress(dst, packed []byte, size int) ([]byte, error) {
	var frame zstd.Header
	if err := frame.Decode(packed); err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if !frame.HasFCS || frame.FrameContentSize != uint64(size) {
		return nil, fmt.Errorf("zstd: the frame does not hold the %d bytes that were signed", size)
	}
	before := len(dst)
	out, err := decoder.DecodeAll(packed, dst)
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if len(out)-before != size {
		return nil, fmt.Errorf("zstd: %d bytes, %d were signed", len(out)-before, size)
	}
	return out, nil
}
