package archive

import (
	"bytes"
	"os"
	"testing"
)

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
