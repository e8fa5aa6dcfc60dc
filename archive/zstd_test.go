package archive

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// frame is a zstd frame of n blocks of 128 KiB of one byte, and of a claimed
// content size.
func frame(claim uint64, n int) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0} // 8 bytes of size, single segment
	b = binary.LittleEndian.AppendUint64(b, claim)
	for i := range n {
		header := uint32(128<<10)<<3 | 1<<1 // run-length
		if i == n-1 {
			header |= 1 // last
		}
		b = append(b, byte(header), byte(header>>8), byte(header>>16), 'x')
	}
	return b
}

func TestDecompressRefusesBombs(t *testing.T) {
	hello := compress(nil, []byte("hello"))
	window := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 0x01, 0x00, 0x00} // 3.75 TiB of window
	tests := []struct {
		name   string
		packed []byte
		size   int
		want   string
	}{
		{"as signed", hello, 5, ""},
		{"good frame of 1 MiB", frame(1<<20, 8), 1 << 20, ""},
		{"more than was signed", hello, 4, "zstd"},
		{"less than was signed", hello, 6, "5 bytes, 6 were signed"},
		{"signed 1 GiB, holds nothing", hello, MaxBody, "cannot hold"},
		{"claims 1 GiB", frame(1<<30, 1), 128 << 10, "zstd"},
		{"claims 2^63", frame(1<<63, 1), 128 << 10, "zstd"},
		{"claims less than it holds", frame(10, 1), 10, "zstd"},
		{"claims nothing, holds more", frame(0, 8), 128 << 10, "zstd"},
		{"two frames", slices.Concat(hello, hello), 5, "zstd"},
		{"two frames, one signed length", slices.Concat(hello, hello), 10, ""},
		{"many frames", bytes.Repeat(frame(1<<20, 8), 64), 5, "zstd"},
		{"many frames after a good one", append(bytes.Clone(hello), bytes.Repeat(frame(1<<20, 8), 64)...), 5, "zstd"},
		{"huge window", window, 5, "zstd"},
		{"no frame", nil, 5, "0 bytes, 5 were signed"},
		{"nothing of nothing", nil, 0, ""},
		{"garbage", []byte("garbage!"), 5, "zstd"},
		{"garbage after the frame", append(bytes.Clone(hello), "garbage"...), 5, "zstd"},
		{"cut short", hello[:len(hello)-1], 5, "zstd"},
		{"checksum wrong", append(bytes.Clone(hello[:len(hello)-1]), hello[len(hello)-1]^1), 5, "zstd"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out []byte
			var err error
			used := allocated(func() { out, err = decompress(nil, test.packed, test.size) })
			checkRefusal(t, err, test.want)
			if err == nil && len(out) != test.size {
				t.Errorf("got %d bytes, want %d", len(out), test.size)
			}
			if used > 4<<20 {
				t.Errorf("got %d bytes allocated, want at most 4 MiB", used)
			}
		})
	}
}

func TestDecompressAtTheBestRatio(t *testing.T) {
	packed := frame(64<<20, 512)
	out, err := decompress(nil, packed, 64<<20)
	if err != nil || len(out) != 64<<20 {
		t.Errorf("64 MiB in %d bytes: got %d bytes (%v)", len(packed), len(out), err)
	}
}

func TestDecompressKeepsWhatIsThere(t *testing.T) {
	dst := append(make([]byte, 0, 100), "kept "...)
	out, err := decompress(dst, compress(nil, []byte(strings.Repeat("a", 50))), 50)
	if err != nil {
		t.Fatal(err)
	}
	if want := "kept " + strings.Repeat("a", 50); string(out) != want {
		t.Errorf("got %q, want %q", out, want)
	}
	if &out[0] != &dst[0] {
		t.Error("there was room in the buffer: got another")
	}
}

func TestCompressOfNothingIsAFrame(t *testing.T) {
	if got := compress(nil, nil); len(got) == 0 {
		t.Error("got no bytes, want an empty frame")
	}
}
