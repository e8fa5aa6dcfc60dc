package archive

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	goartypes "github.com/everFinance/goar/types"
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

func TestParseItemRefusesWeakEd25519Owners(t *testing.T) {
	// The points of order 1, 2, 4 and 8, then second encodings of some.
	owners := []string{
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"0100000000000000000000000000000000000000000000000000000000000080",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // y = 3 + p, of large order
	}
	for _, sigType := range []uint16{SigEd25519, SigSolana} {
		for _, owner := range owners {
			p := partsOf(t, nil, "any data")
			p.sigType = sigType
			p.owner, _ = hex.DecodeString(owner)
			p.signature = append([]byte{1}, make([]byte, 63)...) // R the identity, s = 0
			_, err := ParseItem(p.bytes())
			checkRefusal(t, err, "no ed25519 key")
		}
	}
	// The attack: this signature holds for every message as far as the
	// standard library is concerned.
	p := partsOf(t, nil, "any data")
	p.owner, _ = hex.DecodeString(owners[0])
	if !ed25519.Verify(p.owner, p.message(), append([]byte{1}, make([]byte, 63)...)) {
		t.Error("the vector does not show what it should: the forged signature is refused without our check")
	}
}

func TestParseItemRefusesWeakRSAOwners(t *testing.T) {
	raw, err := os.ReadFile("testdata/arbundles-arweave.item")
	if err != nil {
		t.Fatal(err)
	}
	number := func(n *big.Int) []byte { return n.FillBytes(make([]byte, rsaSize)) }
	modulus := new(big.Int).SetBytes(raw[2+rsaSize : 2+2*rsaSize])
	tests := []struct {
		name  string
		owner []byte
		want  string
	}{
		{"zero", number(big.NewInt(0)), "no RSA key"},
		{"one", number(big.NewInt(1)), "no RSA key"},
		{"even", number(new(big.Int).Sub(modulus, big.NewInt(1))), "no RSA key"},
		{"small", number(big.NewInt(3233)), "no RSA key"},
		{"half as long", number(new(big.Int).SetBit(new(big.Int).Rsh(modulus, 2048), 0, 1)), "no RSA key"},
		{"a bit too short", number(new(big.Int).SetBit(new(big.Int).Rsh(modulus, 1), 0, 1)), "no RSA key"},
		{"all ones", bytes.Repeat([]byte{255}, rsaSize), "not that of the owner"},
		{"another", number(new(big.Int).Sub(modulus, big.NewInt(2))), "not that of the owner"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			changed := bytes.Clone(raw)
			copy(changed[2+rsaSize:], test.owner)
			_, err := ParseItem(changed)
			checkRefusal(t, err, test.want)
		})
	}
	t.Run("signature plus modulus", func(t *testing.T) {
		changed := bytes.Clone(raw)
		twin := new(big.Int).Add(modulus, new(big.Int).SetBytes(raw[2:2+rsaSize]))
		if twin.BitLen() > 8*rsaSize {
			twin.SetBytes(bytes.Repeat([]byte{255}, rsaSize))
		}
		copy(changed[2:], number(twin))
		if _, err := ParseItem(changed); err == nil {
			t.Error("got no error, want one")
		}
	})
}

func TestParseItemRefusesEthereumTwins(t *testing.T) {
	raw, err := os.ReadFile("testdata/arbundles-ethereum.item")
	if err != nil {
		t.Fatal(err)
	}
	order, _ := new(big.Int).SetString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
	tests := []struct {
		name   string
		change func(signature []byte)
		want   string
	}{
		{"as made", func([]byte) {}, ""},
		{"v from 0", func(s []byte) { s[64] -= 27 }, "v is"},
		{"v of EIP-155", func(s []byte) { s[64] += 10 }, "v is"},
		{"the other v", func(s []byte) { s[64] ^= 27 ^ 28 }, "not that of the owner"},
		{"high s", func(s []byte) {
			high := new(big.Int).Sub(order, new(big.Int).SetBytes(s[32:64]))
			high.FillBytes(s[32:64])
			s[64] ^= 27 ^ 28
		}, "lower half"},
		{"s over the order", func(s []byte) { copy(s[32:64], bytes.Repeat([]byte{255}, 32)) }, "lower half"},
		{"s zero", func(s []byte) { clear(s[32:64]) }, "not that of the owner"},
		{"r zero", func(s []byte) { clear(s[:32]) }, "not that of the owner"},
		{"r over the order", func(s []byte) { copy(s[:32], bytes.Repeat([]byte{255}, 32)) }, "not that of the owner"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			changed := bytes.Clone(raw)
			test.change(changed[2 : 2+ethSignatureSize])
			_, err := ParseItem(changed)
			checkRefusal(t, err, test.want)
		})
	}
}

func TestAddresses(t *testing.T) {
	// Key 1, the generator: its address is known everywhere.
	w, err := parseWallet([]byte("0x" + strings.Repeat("0", 63) + "1"))
	if err != nil {
		t.Fatal(err)
	}
	item, err := SignItem(w, nil, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := item.NativeAddress(), "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"; got != want {
		t.Errorf("native address: got %s, want %s", got, want)
	}
	if got, want := item.Address(), goarAddress(item.Owner); got != want {
		t.Errorf("address: got %s, want %s", got, want)
	}
	own, err := SignItem(KeyWallet(KeyFromSeed(itemSeed)), nil, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := own.NativeAddress(), own.Address(); got != want {
		t.Errorf("native address of an ed25519 owner: got %s, want %s", got, want)
	}
}

func goarAddress(owner []byte) string {
	address, _ := goarutils.OwnerToAddress(base64.RawURLEncoding.EncodeToString(owner))
	return address
}

func TestValidID(t *testing.T) {
	good := Address([]byte("x"))
	tests := map[string]bool{
		good:                         true,
		"":                           false,
		good[:42]:                    false,
		good + "A":                   false,
		good[:42] + "B":              false, // bits that say nothing are set
		"../" + good[3:]:             false,
		good[:42] + "\n":             false,
		good[:20] + "\n" + good[21:]: false,
		good[:42] + "=":              false,
		good[:42] + "+":              false,
	}
	for id, want := range tests {
		if got := ValidID(id); got != want {
			t.Errorf("%q: got %t, want %t", id, got, want)
		}
	}
}

func TestSignItemCopiesDataOnce(t *testing.T) {
	data := make([]byte, 4<<20)
	w := KeyWallet(KeyFromSeed(itemSeed))
	used := allocated(func() {
		if _, err := SignItem(w, twoTags(), data); err != nil {
			t.Error(err)
		}
	})
	if limit := uint64(len(data) + 64<<10); used > limit {
		t.Errorf("got %d bytes allocated for an item of 4 MiB, want at most %d", used, limit)
	}
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

func TestSignItemRefusesBadTags(t *testing.T) {
	tests := []struct {
		name string
		tags []Tag
		want string
	}{
		{"empty name", []Tag{{"", "v"}}, "name of 0 bytes"},
		{"empty value", []Tag{{"n", ""}}, "value of 0 bytes"},
		{"not UTF-8", []Tag{{"n", "\xff"}}, "UTF-8"},
		{"too many", slices.Repeat([]Tag{{"n", "v"}}, 129), "129 tags"},
		{"4096 bytes together", []Tag{{"n", strings.Repeat("v", 3072)}, {"n", strings.Repeat("v", 1014)}}, ""},
		{"4097 bytes together", []Tag{{"n", strings.Repeat("v", 3072)}, {"n", strings.Repeat("v", 1015)}}, "4097 bytes of tags"},
		{"too long together", slices.Repeat([]Tag{{"n", strings.Repeat("v", 2048)}}, 2), "bytes of tags"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := SignItem(KeyWallet(KeyFromSeed(itemSeed)), test.tags, nil)
			checkRefusal(t, err, test.want)
		})
	}
}

// lyingWallet returns what it is told to.
type lyingWallet struct {
	sigType          uint16
	owner, signature []byte
}

func (w lyingWallet) SigType() uint16             { return w.sigType }
func (w lyingWallet) Owner() []byte               { return w.owner }
func (w lyingWallet) Sign([]byte) ([]byte, error) { return w.signature, nil }

func TestSignItemRefusesWhatAWalletGotWrong(t *testing.T) {
	writer := KeyFromSeed(itemSeed).Writer()
	tests := []struct {
		name   string
		wallet Wallet
		want   string
	}{
		{"type", lyingWallet{5, writer[:], make([]byte, 64)}, "type 5"},
		{"owner", lyingWallet{2, writer[:31], make([]byte, 64)}, "owner of 31 bytes"},
		{"length", lyingWallet{2, writer[:], make([]byte, 63)}, "signature of 63 bytes"},
		{"signature", lyingWallet{2, writer[:], make([]byte, 64)}, "not that of the owner"},
		{"no key", KeyWallet(Key{}), "no writer key"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := SignItem(test.wallet, nil, []byte("x"))
			checkRefusal(t, err, test.want)
		})
	}
}

func TestSignItemIsWhatGoarWrites(t *testing.T) {
	item, err := SignItem(KeyWallet(KeyFromSeed(itemSeed)), twoTags(), []byte("data"))
	if err != nil {
		t.Fatal(err)
	}
	checkGoar(t, item)
	var tags []goartypes.Tag
	for _, tag := range twoTags() {
		tags = append(tags, goartypes.Tag{Name: tag.Name, Value: tag.Value})
	}
	b64 := base64.RawURLEncoding.EncodeToString
	other, err := goarutils.NewBundleItem(b64(item.Owner), int(item.SigType), "", "", []byte("data"), tags)
	if err != nil {
		t.Fatal(err)
	}
	message, err := goarutils.BundleItemSignData(*other)
	if err != nil {
		t.Fatal(err)
	}
	other.Signature = b64(ed25519.Sign(ed25519.NewKeyFromSeed(itemSeed[:]), message))
	want, err := goarutils.GenerateItemBinary(other)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(item.Bytes, want) {
		t.Errorf("got  %x\nwant %x", item.Bytes, want)
	}
}

// FuzzParseItem: whatever is accepted has one encoding, and goar reads the same
// in it. Each input is tried as it is and with the rest of it signed, which a
// fuzzer cannot do.
func FuzzParseItem(f *testing.F) {
	signed := partsOf(f, twoTags(), "data").sign()
	f.Add(signed.bytes())
	f.Add(partsOf(f, nil, "").sign().bytes())
	signed.target, signed.anchor = append([]byte{1}, signed.owner...), append([]byte{1}, signed.owner...)
	f.Add(signed.bytes())
	signed.tags = []byte("\xfe\xff\xff\xff\x0f\x00")
	f.Add(signed.bytes())
	for _, name := range []string{"arweave", "ethereum", "solana"} {
		raw, err := os.ReadFile("testdata/arbundles-" + name + ".item")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if item, err := ParseItem(raw); err == nil {
			checkOneEncoding(t, item)
			checkGoar(t, item)
		}
		l, err := splitItem(raw)
		if err != nil || l.SigType != SigEd25519 && l.SigType != SigSolana {
			return
		}
		p := partsFrom(l)
		writer := KeyFromSeed(itemSeed).Writer()
		p.owner = writer[:]
		item, err := ParseItem(p.sign().bytes())
		if err != nil {
			t.Fatalf("the form was accepted, the same form signed is not: %v", err)
		}
		checkOneEncoding(t, item)
		checkGoar(t, item)
	})
}

func partsFrom(l layout) parts {
	p := parts{
		sigType: l.SigType, signature: l.signature, owner: l.Owner, target: []byte{0}, anchor: []byte{0},
		count: uint64(len(l.Tags)), data: l.Data,
	}
	if l.Target != nil {
		p.target = append([]byte{1}, l.Target...)
	}
	if l.Anchor != nil {
		p.anchor = append([]byte{1}, l.Anchor...)
	}
	p.tags, _ = appendTags(nil, l.Tags)
	p.size = uint64(len(p.tags))
	return p
}

// checkOneEncoding writes item again from its parsed parts.
func checkOneEncoding(t *testing.T, item Item) {
	t.Helper()
	l, err := splitItem(item.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if got := partsFrom(l).bytes(); !bytes.Equal(got, item.Bytes) {
		t.Errorf("accepted %x, written again it is %x", item.Bytes, got)
	}
	if l.Target == nil && l.Anchor == nil && !bytes.Equal(l.encode(), item.Bytes) {
		t.Errorf("accepted %x, encode writes %x", item.Bytes, l.encode())
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
