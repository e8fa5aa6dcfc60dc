package archive

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	goarutils "github.com/everFinance/goar/utils"
)

// parts is an item in pieces, so that each can be wrong on its own.
type parts struct {
	sigType          uint16
	signature, owner []byte
	target, anchor   []byte // with the presence byte
	count, size      uint64
	tags, data       []byte
}

var itemSeed = [32]byte{7}

// partsOf is an item of type 2 with the given tags, not signed yet.
func partsOf(t testing.TB, tags []Tag, data string) parts {
	t.Helper()
	encoded, err := appendTags(nil, tags)
	if err != nil {
		t.Fatal(err)
	}
	writer := KeyFromSeed(itemSeed).Writer()
	return parts{
		sigType: SigEd25519, signature: make([]byte, 64), owner: writer[:], target: []byte{0}, anchor: []byte{0},
		count: uint64(len(tags)), size: uint64(len(encoded)), tags: encoded, data: []byte(data),
	}
}

// bytes lays the pieces out as the standard says, whatever they are.
func (p parts) bytes() []byte {
	b := binary.LittleEndian.AppendUint16(nil, p.sigType)
	b = append(append(b, p.signature...), p.owner...)
	b = append(append(b, p.target...), p.anchor...)
	b = binary.LittleEndian.AppendUint64(b, p.count)
	b = binary.LittleEndian.AppendUint64(b, p.size)
	return append(append(b, p.tags...), p.data...)
}

// message is what is signed, by another implementation than ours.
func (p parts) message() []byte {
	list := []any{}
	for _, b := range [][]byte{
		[]byte("dataitem"), []byte("1"), []byte(strconv.Itoa(int(p.sigType))),
		p.owner, p.target[1:], p.anchor[1:], p.tags, p.data,
	} {
		list = append(list, base64.RawURLEncoding.EncodeToString(b))
	}
	sum := goarutils.DeepHash(list)
	return sum[:]
}

func (p parts) sign() parts {
	p.signature = ed25519.Sign(ed25519.NewKeyFromSeed(itemSeed[:]), p.message())
	return p
}

func twoTags() []Tag { return []Tag{{"App-Name", "test"}, {"Größe", "日本"}} }

// checkGoar fails unless goar reads raw as we did.
func checkGoar(t testing.TB, item Item) {
	t.Helper()
	other, err := goarutils.DecodeBundleItem(item.Bytes)
	if err != nil {
		t.Fatalf("goar does not decode what we accept: %v", err)
	}
	if err := goarutils.VerifyBundleItem(*other); err != nil {
		t.Fatalf("goar does not verify what we accept: %v", err)
	}
	tags := make([]Tag, 0, len(other.Tags))
	for _, tag := range other.Tags {
		tags = append(tags, Tag{tag.Name, tag.Value})
	}
	b64 := base64.RawURLEncoding.EncodeToString
	for _, c := range []struct{ name, got, want string }{
		{"id", item.ID, other.Id},
		{"owner", b64(item.Owner), other.Owner},
		{"target", b64(item.Target), other.Target},
		{"anchor", b64(item.Anchor), other.Anchor},
		{"data", b64(item.Data), other.Data},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, goar has %q", c.name, c.got, c.want)
		}
	}
	if !slices.Equal(item.Tags, tags) {
		t.Errorf("tags: got %q, goar has %q", item.Tags, tags)
	}
}

func TestParseItemOfArbundles(t *testing.T) {
	files, err := filepath.Glob("testdata/arbundles-*.item")
	if err != nil || len(files) != 6 {
		t.Fatalf("got %d files (%v), want 6", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".item"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			item, err := ParseItem(raw)
			if err != nil {
				t.Fatal(err)
			}
			checkGoar(t, item)
			data, tags, anchor := "hello from arbundles", []Tag{{"App-Name", "x"}, {"Größe", "日本"}}, "12345678901234567890123456789012"
			if strings.Contains(file, "-bare") {
				data, tags, anchor = "", nil, ""
			}
			if string(item.Data) != data || !slices.Equal(item.Tags, tags) || string(item.Anchor) != anchor {
				t.Errorf("got %q %q %q, want %q %q %q", item.Data, item.Tags, item.Anchor, data, tags, anchor)
			}
			checkFlips(t, raw)
		})
	}
}

// checkFlips flips a bit in every byte: nothing of an item is unchecked.
func checkFlips(t *testing.T, raw []byte) {
	t.Helper()
	for i := range raw {
		damaged := bytes.Clone(raw)
		damaged[i] ^= 1 << (i % 8)
		if item, err := ParseItem(damaged); err == nil {
			t.Fatalf("byte %d of %d flipped: accepted as %s", i, len(raw), item.ID)
		}
	}
}

func TestParseItemRefusesEveryBitFlipAndPrefix(t *testing.T) {
	raw := partsOf(t, twoTags(), "data").sign().bytes()
	if _, err := ParseItem(raw); err != nil {
		t.Fatal(err)
	}
	for bit := range len(raw) * 8 {
		damaged := bytes.Clone(raw)
		damaged[bit/8] ^= 1 << (bit % 8)
		if _, err := ParseItem(damaged); err == nil {
			t.Errorf("bit %d flipped: accepted", bit)
		}
	}
	for n := range len(raw) {
		if _, err := ParseItem(raw[:n:n]); err == nil {
			t.Errorf("first %d bytes of %d: accepted", n, len(raw))
		}
	}
	if _, err := ParseItem(append(raw, 0)); err == nil {
		t.Error("a byte more: accepted")
	}
}

// TestHostileItems holds the vectors of the survey of deployed readers: all
// carry a valid signature by one reading or another, and one reader or another
// takes, misreads or dies of most of them.
func TestHostileItems(t *testing.T) {
	avro := func(s string) func(*parts) {
		return func(p *parts) { p.tags, p.size = []byte(s), uint64(len(s)) }
	}
	many := func(n int) func(*parts) {
		return func(p *parts) {
			p.tags = binary.AppendVarint(nil, int64(n))
			p.tags = append(append(p.tags, strings.Repeat("\x02n\x02v", n)...), 0)
			p.count, p.size = uint64(n), uint64(len(p.tags))
		}
	}
	value := func(size int) func(*parts) {
		return func(p *parts) {
			p.tags = append(binary.AppendVarint([]byte("\x02\x02n"), int64(size)), strings.Repeat("v", size)...)
			p.tags = append(p.tags, 0)
			p.count, p.size = 1, uint64(len(p.tags))
		}
	}
	const two = "\x04\x02a\x02b\x02c\x02d\x00" // a=b, c=d
	tests := []struct {
		name   string
		change func(*parts)
		want   string // part of the error, "" to accept
	}{
		{"valid", func(*parts) {}, ""},
		{"valid with two plain tags", avro(two), ""},
		{"valid with target and anchor", func(p *parts) {
			p.target = append([]byte{1}, bytes.Repeat([]byte{3}, 32)...)
			p.anchor = append([]byte{1}, bytes.Repeat([]byte{4}, 32)...)
		}, ""},
		{"128 tags", many(128), ""},
		{"129 tags", many(129), "129 tags"},
		{"200 tags", many(200), "200 tags"},
		{"tag value of 3072 bytes", value(3072), ""},
		{"tag value of 3073 bytes", value(3073), "value of 3073 bytes"},
		{"tag value of 100 kB", value(100_000), "bytes of tags"},
		{"tag name of 1025 bytes", func(p *parts) {
			name := strings.Repeat("n", 1025)
			p.tags = append(binary.AppendVarint([]byte("\x02"), int64(len(name))), name+"\x02v\x00"...)
			p.count, p.size = 1, uint64(len(p.tags))
		}, "name of 1025 bytes"},
		{"duplicate tag name", avro("\x04\x02a\x02b\x02a\x02d\x00"), ""},
		{"tag count 5, real 2", func(p *parts) { p.count = 5 }, "block of 2 where 5"},
		{"tag count 1, real 2", func(p *parts) { p.count = 1 }, "block of 2 where 1"},
		{"tag count 0, two tags signed", func(p *parts) { p.count = 0 }, "no tags, but"},
		{"tag count 0, one zero tag byte", func(p *parts) { p.count, p.size, p.tags = 0, 1, []byte{0} }, "no tags, but 1"},
		{"tag count 2, no tag bytes", func(p *parts) { p.size, p.tags = 0, nil }, "cut short or too long"},
		{"garbage after the tags", avro(two + "garbage"), "after the last tag"},
		{"a second zero after the tags", avro(two + "\x00"), "after the last tag"},
		{"no end of the tag list", avro(two[:len(two)-1]), "after the last tag"},
		{"two Avro blocks", avro("\x02\x02a\x02b\x02\x02c\x02d\x00"), "block of 1 where 2"},
		{"negative Avro block", avro("\x03\x10\x02a\x02b\x02c\x02d\x00"), "negative"},
		{"negative Avro block of a wrong size", avro("\x03\x7e\x02a\x02b\x02c\x02d\x00"), "negative"},
		{"overlong count", avro("\x84\x00\x02a\x02b\x02c\x02d\x00"), "shortest form"},
		{"overlong length", avro("\x04\x82\x00a\x02b\x02c\x02d\x00"), "shortest form"},
		{"length of eleven bytes", avro("\x04" + strings.Repeat("\xff", 10) + "\x01"), "cut short or too long"},
		{"Avro block count 2^31-1", avro("\xfe\xff\xff\xff\x0f\x00"), "number of 2147483647"},
		{"Avro block count 2^62", avro("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x00"), "a number of"},
		{"name longer than the tags", avro("\x04\x7ea\x02b\x02c\x02d\x00"), "63 bytes announced"},
		{"negative name length", avro("\x04\x01a\x02b\x02c\x02d\x00"), "negative"},
		{"empty name", avro("\x04\x00\x02b\x02c\x02d\x00"), "name of 0 bytes"},
		{"empty value", avro("\x04\x02a\x00\x02c\x02d\x00"), "value of 0 bytes"},
		{"name not UTF-8", avro("\x04\x02\xff\x02b\x02c\x02d\x00"), "UTF-8"},
		{"value not UTF-8", avro("\x04\x02a\x02\xc0\x02c\x02d\x00"), "UTF-8"},
		{"target presence 2", func(p *parts) { p.target = []byte{2} }, "presence byte 2"},
		{"anchor presence 255", func(p *parts) { p.anchor = []byte{255} }, "presence byte 255"},
		{"anchor presence 2 with bytes", func(p *parts) { p.anchor = append([]byte{2}, make([]byte, 32)...) }, "presence byte 2"},
		{"tag bytes 2^64-1", func(p *parts) { p.size = 1<<64 - 1 }, "bytes of tags"},
		{"tag bytes 2^63", func(p *parts) { p.size = 1 << 63 }, "bytes of tags"},
		{"tag bytes 4096, fewer there", func(p *parts) { p.size = 4096 }, "cut short"},
		{"tag count 2^64-1", func(p *parts) { p.count = 1<<64 - 1 }, "18446744073709551615 tags"},
		{"type 0", func(p *parts) { p.sigType = 0 }, "type 0 is not supported"},
		{"type 5", func(p *parts) { p.sigType = 5 }, "type 5 is not supported"},
		{"type 6", func(p *parts) { p.sigType = 6 }, "type 6 is not supported"},
		{"type 7", func(p *parts) { p.sigType = 7 }, "type 7 is not supported"},
		{"type 258, of which a reader takes the low byte", func(p *parts) { p.sigType = 258 }, "type 258 is not supported"},
		{"type 4, solana", func(p *parts) { p.sigType = 4 }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := partsOf(t, twoTags(), "data")
			test.change(&p)
			raw := p.sign().bytes()
			var item Item
			var err error
			used := allocated(func() { item, err = ParseItem(raw) })
			checkRefusal(t, err, test.want)
			if err == nil {
				checkGoar(t, item)
			}
			if used > 64<<10 {
				t.Errorf("got %d bytes allocated, want at most 64 KiB", used)
			}
		})
	}
}

// checkRefusal wants an error that says want, or none if want is empty.
func checkRefusal(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Fatalf("got error %v, want none", err)
	case want != "" && err == nil:
		t.Fatalf("got no error, want one with %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Fatalf("got error %v, want one with %q", err, want)
	}
}

// allocated is how many bytes f allocates, freed or not. Other goroutines
// count too: a bound, not a measurement.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestParseItemSignedAsIfTagsWereData(t *testing.T) {
	p := partsOf(t, twoTags(), "data")
	asData := p
	asData.tags, asData.data = nil, append(bytes.Clone(p.tags), p.data...)
	p.signature, p.count = asData.sign().signature, 0
	_, err := ParseItem(p.bytes())
	checkRefusal(t, err, "no tags, but")
}

func TestParseItemCopiesNothing(t *testing.T) {
	item, err := SignItem(KeyWallet(KeyFromSeed(itemSeed)), twoTags(), make([]byte, 4<<20))
	if err != nil {
		t.Fatal(err)
	}
	used := allocated(func() {
		if _, err := ParseItem(item.Bytes); err != nil {
			t.Error(err)
		}
	})
	if used > 64<<10 {
		t.Errorf("got %d bytes allocated, want at most 64 KiB", used)
	}
}

func randomBytes(t testing.TB, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}
